// The size of a key: AES-256.
export const keyBytes = 32
