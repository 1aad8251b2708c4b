// What happened, in words and in virtual time: told in full only for what went wrong.

/** Whom a line is about. A line about nobody in particular is about everyone. */
export interface About {
  readonly partition?: number
  /** `<type>/<id>`. */
  readonly aggregate?: string
}

export interface Story {
  tell(text: string, about?: About): void
  /** The last lines that matter for this, oldest first. */
  linesAbout(about: About): readonly string[]
  /** Of everything that happened; the same for the same run. */
  hash(): string
  /** Adds to the hash what is not worth a line. */
  note(number: number): void
}

interface Line extends About {
  readonly atMs: number
  readonly text: string
}

/** A story is read by people: what broke and who led, and less of what was asked meanwhile. */
const eventLinesMax = 24
const commandLinesMax = 8
const keptMax = 20_000

export function createStory(init: {
  readonly now: () => number
  readonly onLine?: ((line: string) => void) | undefined
}): Story {
  let lines: Line[] = []
  let high = 0x811c9dc5
  let low = 0x01000193

  const note = (number: number): void => {
    high = Math.imul(high ^ (number | 0), 0x01000193)
    low = Math.imul(low ^ (high >>> 7) ^ (number | 0), 0x85ebca6b)
  }

  return {
    note,
    tell(text, about = {}) {
      const line = { ...about, atMs: init.now(), text }
      lines.push(line)
      if (lines.length > keptMax) lines = lines.slice(keptMax / 2)
      note(Math.round(line.atMs * 1000))
      for (let place = 0; place < text.length; place += 1) note(text.charCodeAt(place))
      init.onLine?.(format(line))
    },
    linesAbout({ partition, aggregate }) {
      const matters = (line: Line): boolean =>
        (line.partition === undefined || partition === undefined || line.partition === partition) &&
        // What happened to single aggregates explains nothing else.
        (line.aggregate === undefined || line.aggregate === aggregate)
      const told = lines.filter(matters)
      const events = told.filter(line => line.aggregate === undefined).slice(-eventLinesMax)
      const commands = told.filter(line => line.aggregate !== undefined).slice(-commandLinesMax)
      const chosen = new Set([...events, ...commands])
      return told.filter(line => chosen.has(line)).map(format)
    },
    hash: () => (high >>> 0).toString(16).padStart(8, '0') + (low >>> 0).toString(16).padStart(8, '0'),
  }
}

function format({ atMs, text, partition }: Line): string {
  const where = partition === undefined ? '' : `partition ${partition}: `
  return `${(atMs / 1000).toFixed(3).padStart(8)} s  ${where}${text}`
}
