import { writeFile } from 'node:fs/promises'
import { valuesSchema } from './values-schema.ts'

// What `npm run chart:schema` does.
const file = new URL('berth/values.schema.json', import.meta.url)
await writeFile(file, `${JSON.stringify(valuesSchema(), null, 2)}\n`)
