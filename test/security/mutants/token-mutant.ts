import type { Weakness } from './mutant.js'

/** A rule that is taken away, a case that notices, and what becomes of it then. */
export type TakenAway = [rule: string, weakness: Weakness, name: string, outcome: string]

export const cut = (file: string, from: string, to = ''): Weakness => ({ file, from, to })
