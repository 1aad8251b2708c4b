// The columns of an event as the port wants them: a row of an answer is a StoredEvent as it is.

/** For a select from `<schema>.events` under the alias. */
export const eventColumns = (alias: string): string =>
  `${alias}.partition, ${alias}.idx as "index", ${alias}.event_offset as "offset", ` +
  `${alias}.aggregate_type as "aggregateType", ${alias}.aggregate_id as "aggregateId", ${alias}.sequence, ` +
  `${alias}.type, ${alias}.version, ${alias}.data, ${alias}.metadata, ` +
  `${alias}.command_id as "commandId", ${alias}.time_ms as "timeMs"`
