// Sizes and durations in texts for people.

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** Such as `1.5 GiB`. */
export function formatSize(bytes: number): string {
  const step = Math.min(Math.max(Math.floor(Math.log2(bytes) / 10), 0), units.length - 1)
  const value = bytes / 1024 ** (bytes === 0 ? 0 : step)
  return `${value < 10 && step > 0 ? value.toFixed(1) : Math.round(value)} ${units[bytes === 0 ? 0 : step]}`
}

/** In its largest unit, such as `43 min`. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86_400)} days`
}
