/** A gap in the fence: what is at fault, and the SQL that mends it. */
export interface FenceGap {
  /** The table, view, schema or role. */
  object: string
  problem: string
  /** What an administrator runs. */
  mend: string
}

export const revoke = (privileges: string, name: string, role: string) =>
  `revoke ${privileges} on ${name} from public, ${role};`
