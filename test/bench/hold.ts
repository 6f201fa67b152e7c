import { writeFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

// Loaded into a server under measurement (`node --import`). Its own metric has intervals of 10 ms, and tells no shorter
// holds apart. SIGUSR2 begins to measure, and the next one writes the longest hold, in milliseconds, to BENCH_HOLD.

const delay = monitorEventLoopDelay({ resolution: 1 })
const file = process.env['BENCH_HOLD'] ?? ''

process.on('SIGUSR2', () => {
  if (delay.enable()) return delay.reset()
  delay.disable()
  writeFileSync(file, String(delay.max / 1e6))
})
