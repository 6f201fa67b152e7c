/** The thread's program: of the sources, or of the build. In an executable, a part of it. */
export function workerUrl(): URL {
  const url = new URL('./worker.ts', import.meta.url)
  return import.meta.url.endsWith('.ts') ? url : new URL('./worker.js', url)
}
