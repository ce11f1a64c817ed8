/**
 * The time of each run in its best round, in microseconds a call. The runs take turns in short rounds, so that the best round
 * is free of the noise of a shared machine.
 */
export async function bestOf<Name extends string>(
  runs: Record<Name, () => Promise<unknown>>,
  { rounds, calls }: { rounds: number; calls: number },
): Promise<Record<Name, number>> {
  const names = Object.keys(runs) as Name[]
  const best = Object.fromEntries(names.map(name => [name, Number.POSITIVE_INFINITY])) as Record<Name, number>
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const start = performance.now()
      for (let n = 0; n < calls; n++) await runs[name]()
      best[name] = Math.min(best[name], ((performance.now() - start) * 1000) / calls)
    }
  }
  return best
}
