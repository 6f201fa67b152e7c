#!/usr/bin/env node
import { isSupported, runWithBundledNode } from './own-node.ts'

// Check the version before importing anything else: an old Node would fail with a SyntaxError.
if (isSupported(process.versions.node)) {
  const { ensureHome } = await import('./home.ts')
  ensureHome(process.env)
  const { useCompileCache } = await import('./compile-cache.ts')
  useCompileCache(process.argv, process.env)
  const { run } = await import('./cli/cli.ts')
  await run(process.argv, process.env)
} else {
  runWithBundledNode()
}
