import { Command } from 'commander'
import { fieldsTable, jsonSchema } from '../config/config.ts'

export function configCommand(): Command {
  return new Command('config')
    .summary('describe the configuration')
    .description('Describe the fields of the configuration.')
    .addCommand(
      new Command('schema')
        .summary('print the JSON Schema of the configuration file')
        .description('Print the JSON Schema of the configuration file, for editors and validators.')
        .addHelpText('after', '\nExample:\n  berth config schema > berth.schema.json')
        .action(() => void process.stdout.write(`${JSON.stringify(jsonSchema(), null, 2)}\n`)),
    )
    .addCommand(
      new Command('table')
        .summary('print a table of all fields')
        .description(
          'Print all fields with their defaults, descriptions and environment variables, as a Markdown table.',
        )
        .addHelpText('after', '\nExample:\n  berth config table | grep cache')
        .action(() => void process.stdout.write(`${fieldsTable()}\n`)),
    )
}
