import { Command } from 'commander'
import { fieldsTable, jsonSchema } from '../config/config.ts'

export function configCommand(): Command {
  return new Command('config')
    .description('What can be configured')
    .addCommand(
      new Command('schema')
        .description('Print the JSON Schema of the configuration file')
        .addHelpText('after', '\nExample:\n  berth config schema > berth.schema.json')
        .action(() => void process.stdout.write(`${JSON.stringify(jsonSchema(), null, 2)}\n`)),
    )
    .addCommand(
      new Command('table')
        .description('Print all fields, their defaults, meaning and environment variables')
        .action(() => void process.stdout.write(`${fieldsTable()}\n`)),
    )
}
