import { Gauge, Histogram, type Registry } from 'prom-client'
import { createCounter } from './counter.ts'
import { PreparedHistogram } from './prepared-histogram.ts'

const seconds = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 10, 30, 120, 600]

export type MetricKinds = ReturnType<typeof createMetricKinds>

/** Makes metrics of a registry. `withoutZeros`: gauges without labels have no value until they are set. */
export function createMetricKinds(registry: Registry, withoutZeros: boolean) {
  const registers = [registry]

  const counter = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ) => createCounter({ name, help, labelNames, registers })
  const gauge = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ) => {
    const created = new Gauge({ name, help, labelNames, registers })
    if (withoutZeros && labelNames.length === 0) created.remove()
    return created
  }
  /** Of another program than the server, which has no value for it: a zero would raise an alert. */
  const foreignGauge = (name: string, help: string) => {
    const created = gauge(name, help)
    created.remove()
    return created
  }
  const histogram = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
  ) => new Histogram({ name, help, labelNames, registers, buckets: seconds })

  const preparedHistogram = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
  ) => new PreparedHistogram({ name, help, labelNames, registers, buckets: seconds })

  return { counter, gauge, foreignGauge, histogram, preparedHistogram }
}
