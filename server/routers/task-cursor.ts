import { z } from 'zod'

/** Position of the last task of a page: keyset pagination on `(created_at, id)`, stable while tasks are added and deleted. */
export interface Position {
  createdAt: Date
  id: string
}

const position = z.tuple([z.int().min(-62_135_596_800_000).max(253_402_300_799_999), z.guid()])

/** The cursor of a position: base64url of JSON, opaque to the client. */
export function encodeCursor({ createdAt, id }: Position): string {
  return btoa(JSON.stringify([createdAt.getTime(), id]))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

/** The position of a cursor; undefined if {@link encodeCursor} did not create it. */
export function decodeCursor(cursor: string): Position | undefined {
  try {
    const [time, id] = position.parse(JSON.parse(atob(cursor.replaceAll('-', '+').replaceAll('_', '/'))))
    return { createdAt: new Date(time), id }
  } catch {
    return undefined
  }
}
