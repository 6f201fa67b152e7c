import { Command } from 'commander'
import { hashPassword } from '../auth/auth.ts'
import { UsageError } from './errors.ts'
import { checkUser, readNewPassword } from './secret-input.ts'

export function htpasswdCommand(): Command {
  return new Command('htpasswd')
    .description('Print a line for an htpasswd file')
    .argument('<user>', 'who logs in with it')
    .option('--cost <number>', 'logarithm of the work that a guess takes', '10')
    .addHelpText('after', examples)
    .action(async (user: string, { cost }: { cost: string }) => {
      checkUser(user)
      if (!/^\d+$/.test(cost) || Number(cost) < 4 || Number(cost) > 16)
        throw new UsageError('--cost is a number from 4 to 16')
      const password = await readNewPassword(`Password for ${user}`)
      const hash = await hashPassword(password, Number(cost)).catch((error: Error) => {
        throw new UsageError(error.message)
      })
      process.stdout.write(`${user}:${hash}\n`)
    })
}

const examples = `
The password is asked for, or read from standard input; it is never an argument, where others could see it.

Examples:
  berth htpasswd alice >> htpasswd
  openssl rand -hex 16 | tee password.txt | berth htpasswd kubelet > htpasswd`
