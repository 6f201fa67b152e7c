import type { Overview } from '../../../api/answers.ts'

export type Sample = NonNullable<Overview['traffic']>['recent'][number]

/** At most `max` samples: sums of as many neighbours as it takes, the newest complete. */
export function binned(samples: readonly Sample[], max: number): readonly Sample[] {
  const width = Math.ceil(samples.length / max)
  if (width <= 1) return samples
  const bins: Sample[] = []
  for (let end = samples.length; end > 0; end -= width) {
    const [first, ...others] = samples.slice(Math.max(0, end - width), end).reverse()
    if (first !== undefined) bins.unshift(others.reduce(sum, first))
  }
  return bins
}

function sum(a: Sample, b: Sample): Sample {
  return {
    at: a.at,
    hits: a.hits + b.hits,
    misses: a.misses + b.misses,
    errors: a.errors + b.errors,
    served: a.served + b.served,
    fetched: a.fetched + b.fetched,
  }
}
