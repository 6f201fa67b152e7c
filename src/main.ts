#!/usr/bin/env node
import { isSupported, runWithBundledNode } from './own-node.ts'

// Check the version before importing anything else: an old Node would fail with a SyntaxError.
if (isSupported(process.versions.node)) {
  // Node's default of four for files, and eight for sendfile (http/kernel). Node reads it at the first use.
  process.env['UV_THREADPOOL_SIZE'] ??= '12'
  const { useCompileCache } = await import('./compile-cache.ts')
  useCompileCache(process.argv, process.env)
  const { run } = await import('./cli/cli.ts')
  await run(process.argv, process.env)
} else {
  runWithBundledNode()
}
