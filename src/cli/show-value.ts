// Values in cells of tables: one line each, and nothing in them that a terminal would obey.

/** Text as it is; everything else as JSON. Control characters are escaped. */
export const showText = (text: string): string =>
  text.replaceAll(controlCharacters, character => {
    const known = escapes.get(character)
    return known ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  })

const escapes: ReadonlyMap<string, string> = new Map([
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
])

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about.
const controlCharacters = /[\u0000-\u001f\u007f-\u009f]/g
