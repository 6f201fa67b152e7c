import { readFileSync } from 'node:fs'

type Rows = { readonly rows: readonly { readonly what: string; readonly detail: string }[] }

/** CPU seconds per byte, as `npm run bench` measured them last. */
export type Costs = { readonly sendCost: number; readonly fillCost: number }

const results = new URL('../bench/results/bench.json', import.meta.url)
const sent = 'hit, 10MB, 64 connections: CPU to nginx'
const filled = /^cold pull of .* at loopback speed: CPU/

export function readCosts(): Costs {
  const { rows } = JSON.parse(readFileSync(results, 'utf8')) as Rows
  const costOf = (isWanted: (what: string) => boolean): number => {
    const detail = rows.find(({ what }) => isWanted(what))?.detail ?? ''
    const [, seconds] = /CPU-s\/GB: Berth ([0-9.]+)/.exec(detail) ?? []
    if (seconds === undefined)
      throw new Error(`${results.pathname} lacks the CPU per byte of Berth`)
    return Number(seconds) / 1e9
  }
  return {
    sendCost: costOf((what) => what === sent),
    fillCost: costOf((what) => filled.test(what)),
  }
}
