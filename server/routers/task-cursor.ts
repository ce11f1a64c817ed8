import { z } from 'zod'

/** Where a page ends: keyset pagination on `(created_at, id)`, stable while rows come and go. */
export interface Position {
  createdAt: Date
  id: string
}

const position = z.tuple([z.int().min(-62_135_596_800_000).max(253_402_300_799_999), z.guid()])

/** Opaque to the client: base64url of the position as JSON. */
export function encodeCursor({ createdAt, id }: Position): string {
  return btoa(JSON.stringify([createdAt.getTime(), id]))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

/** Undefined for what {@link encodeCursor} did not make. */
export function decodeCursor(cursor: string): Position | undefined {
  try {
    const [time, id] = position.parse(JSON.parse(atob(cursor.replaceAll('-', '+').replaceAll('_', '/'))))
    return { createdAt: new Date(time), id }
  } catch {
    return undefined
  }
}
