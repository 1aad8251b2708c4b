// A read model for the checker: one row per event that was seen, in the order it was seen. An event that comes twice has two.
import { defineQuery } from 'glyn-node'

export default defineQuery({
  name: 'tally',
  init(db) {
    db.exec(`
      create table if not exists tally (
        place integer primary key, partition integer not null, idx integer not null, sequence integer not null,
        aggregate text not null
      ) strict;
    `)
  },
  handle(aggregateId, events, { db }) {
    const add = db.prepare('insert into tally (partition, idx, sequence, aggregate) values (?, ?, ?, ?)')
    for (const { position, sequence } of events) {
      add.run(position.partition, position.index, sequence, aggregateId)
    }
  },
  answer: {
    count: db => db.prepare('select count(*) as events from tally').get(),
  },
})
