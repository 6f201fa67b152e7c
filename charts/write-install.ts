import { writeFile } from 'node:fs/promises'
import { installModule, installObjects } from './install-objects.ts'

// What `npm run chart:install` does.
const file = new URL('../src/install/chart-objects.ts', import.meta.url)
await writeFile(file, installModule(await installObjects()))
