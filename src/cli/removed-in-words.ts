// Members that were removed stay in the list for ever, so that none of them comes back. People need not read them each time.
export const removedInWords = (count: number): string => `${count} removed: glyn-node members --all`
