import { Gauge, Histogram, Registry } from 'prom-client'
import type { OpenDatabase } from '../../db/open-database.js'
import type { RequestReport } from '../http/request-report.js'
import type { KeySetStatus } from '../verifier/keys/key-source.js'

/**
 * The metrics of `/metrics`, in Prometheus' text format. Labels come from closed lists (procedures, error codes, reasons), so
 * that callers cannot create new series.
 */
export function createMetrics({ pool, keys }: { pool: OpenDatabase['pool']; keys: () => KeySetStatus }) {
  const registry = new Registry()
  const duration = new Histogram({
    name: 'trpc_call_duration_seconds',
    help: 'Calls by procedure and outcome, with the duration of their request.',
    labelNames: ['procedure', 'outcome'],
    registers: [registry],
  })
  new Gauge({
    name: 'database_pool_connections',
    help: 'Connections of the pool, and callers that wait for one.',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      for (const [state, count] of Object.entries(pool())) this.set({ state }, count)
    },
  })
  new Gauge({
    name: 'jwks_age_seconds',
    help: 'Time since the keys of the issuer were fetched. NaN if never.',
    registers: [registry],
    collect() {
      this.set(keys().age ?? Number.NaN)
    },
  })
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    count({ calls, duration: seconds }: RequestReport) {
      for (const call of calls) duration.observe(call, seconds)
    },
  }
}
