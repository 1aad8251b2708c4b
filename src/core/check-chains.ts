// Upcast chains are checked when they are loaded, and not when the event is met that needs the step that is missing.

/**
 * Throws through `complain` unless every chain is whole: functions only, without gaps, from version 1 on. Names the type
 * of the event and the step.
 */
export function checkChains(
  definition: { readonly events?: unknown; readonly upcast?: unknown },
  complain: (field: string, found: unknown, allowed: string) => never,
): void {
  const { events, upcast } = definition
  if (events !== undefined) {
    if (!Array.isArray(events)) complain('events', events, 'a list of event types')
    for (const [place, type] of [...(events as unknown[])].entries())
      if (typeof type !== 'string' || type === '') complain(`events[${place}]`, type, 'the type of an event')
  }
  if (upcast === undefined) return
  if (typeof upcast !== 'object' || upcast === null)
    complain('upcast', upcast, 'an object: a list of functions for each type of event')
  for (const [type, chain] of Object.entries(upcast as object)) {
    const field = `upcast.${type}`
    if (Array.isArray(events) && !events.includes(type))
      complain(field, `a chain of a type that is not in events`, `chains of ${events.join(', ')}`)
    if (chain === undefined) continue
    if (typeof chain !== 'object' || chain === null)
      complain(field, chain, 'a list of functions, or an object of functions by the version they lift')
    const steps = Array.isArray(chain) ? [...(chain as unknown[])] : stepsByVersion(chain, field, complain)
    for (const [place, step] of steps.entries()) {
      if (typeof step === 'function') continue
      const where = Array.isArray(chain) ? `${field}[${place}]` : `${field}[${place + 1}]`
      const gap = step === undefined ? ', or the chain has a gap' : ''
      complain(`${where} (version ${place + 1} to ${place + 2})`, step, `a function (data) => data${gap}`)
    }
  }
}

/** `{ 1: f, 3: g }` has a gap at 2. */
function stepsByVersion(
  chain: object,
  field: string,
  complain: (field: string, found: unknown, allowed: string) => never,
): unknown[] {
  const steps = Object.entries(chain)
  let newest = 0
  for (const [key] of steps) {
    if (!/^[1-9]\d{0,5}$/.test(key))
      complain(`${field}, a key`, key, 'the version that the function lifts, from 1')
    newest = Math.max(newest, Number(key))
  }
  // A number far beyond the count of steps must not make a list of that length.
  const length = Math.min(newest, steps.length + 1)
  return Array.from({ length }, (_, place) => (chain as Record<string, unknown>)[String(place + 1)])
}
