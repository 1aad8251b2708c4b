// CloudEvents 1.0 in the JSON event format, one per line: https://github.com/cloudevents/spec. What an envelope has beyond
// the attributes of the specification stands in extension attributes, so that nothing is lost on the way back.
import type { Metadata } from '../../core/command.ts'
import type { EventEnvelope } from '../../core/event.ts'
import { parseToken, tokenOf } from '../../core/token.ts'
import { type ControlName, controlNames, type ExportFormat, type Fields } from './export-format.ts'

/** As the extension `sequence` wants it: texts that sort as the numbers do. */
const sequenceDigits = 16
const controlTypePrefix = 'glyn.export.'

interface CloudEvent {
  readonly specversion: '1.0'
  readonly id: string
  /** `/glyn/<scope>`: ids are unique within it. */
  readonly source: string
  readonly type: string
  /** `<aggregate type>/<aggregate id>`, for people; the extension attributes say it exactly. */
  readonly subject: string
  readonly time: string
  readonly datacontenttype: 'application/json'
  /** Within the aggregate, with leading zeros. */
  readonly sequence: string
  readonly aggregatetype: string
  readonly aggregateid: string
  /** The version of the event's schema. */
  readonly eventversion: number
  readonly commandid: string
  /** As a token: `<partition>:<index>`. */
  readonly logposition: string
  /** JSON text: attributes hold no objects. */
  readonly metadata: string
  readonly data: unknown
}

export function cloudEventsLines(scope: string): ExportFormat {
  const source = `/glyn/${encodeURIComponent(scope)}`
  return {
    name: 'cloudevents',
    event: event => JSON.stringify(toCloudEvent(event, source)),
    control: (name, fields) =>
      JSON.stringify({
        specversion: '1.0',
        type: `${controlTypePrefix}${name}`,
        source,
        id: `${name}-${String(fields['line'])}`,
        datacontenttype: 'application/json',
        data: fields,
      }),
    controlOf: line => controlNames.find(name => line.startsWith(controlBeginning(name))) ?? null,
    parseControl: line => (JSON.parse(line) as { readonly data: Fields }).data,
    parseEvent: line => fromCloudEvent(JSON.parse(line) as Partial<CloudEvent>),
  }
}

/** Of events `id` is the second attribute, so that no event begins so. */
const controlBeginning = (name: ControlName): string =>
  `{"specversion":"1.0","type":"${controlTypePrefix}${name}",`

function toCloudEvent(event: EventEnvelope, source: string): CloudEvent {
  const { id, aggregate, sequence, position, type, version, data, metadata, commandId, time } = event
  return {
    specversion: '1.0',
    id,
    source,
    type,
    subject: `${aggregate.type}/${aggregate.id}`,
    time,
    datacontenttype: 'application/json',
    sequence: String(sequence).padStart(sequenceDigits, '0'),
    aggregatetype: aggregate.type,
    aggregateid: aggregate.id,
    eventversion: version,
    commandid: commandId,
    logposition: tokenOf(position),
    metadata: withoutControls(JSON.stringify(metadata)),
    data,
  }
}

/** Texts of attributes have no control characters and no noncharacters; in JSON text they can be escaped. */
const withoutControls = (json: string): string =>
  json.replace(
    /[\u007f-\u009f\ufdd0-\ufdef\ufffe\uffff]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

function fromCloudEvent(event: Partial<CloudEvent>): EventEnvelope {
  if (event.specversion !== '1.0')
    throw new Error(`specversion is ${String(event.specversion)}; allowed: 1.0`)
  const { id, aggregatetype = '', aggregateid = '', sequence, logposition = '', type = '' } = event
  const { eventversion, data, metadata, commandid = '', time = '' } = event
  const [place] = parseToken(logposition)
  return {
    id: id ?? '',
    aggregate: { type: aggregatetype, id: aggregateid },
    sequence: Number(sequence),
    position: { partition: place?.[0] ?? 0, index: place?.[1] ?? 0 },
    type,
    version: Number(eventversion),
    data,
    metadata: JSON.parse(metadata ?? '{}') as Metadata,
    commandId: commandid,
    time,
  }
}
