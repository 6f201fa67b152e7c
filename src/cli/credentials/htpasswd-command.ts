import { Command } from 'commander'
import { hashPassword } from '../../auth/auth.ts'
import { checkUser, readNewPassword } from '../login/secret-input.ts'
import { UsageError } from '../process/errors.ts'

export function htpasswdCommand(): Command {
  return new Command('htpasswd')
    .summary('print a line for an htpasswd file')
    .description("Hash a user's password with bcrypt, and print a line for an htpasswd file.")
    .argument('<user>', 'user name')
    .option('--cost <number>', 'bcrypt cost, from 4 to 16; each step doubles the time', '10')
    .addHelpText('after', examples)
    .action(async (user: string, { cost }: { cost: string }) => {
      checkUser(user)
      if (!/^\d+$/.test(cost) || Number(cost) < 4 || Number(cost) > 16)
        throw new UsageError('--cost must be a number from 4 to 16')
      const password = await readNewPassword(`Password for ${user}`)
      const hash = await hashPassword(password, Number(cost)).catch((error: Error) => {
        throw new UsageError(error.message)
      })
      process.stdout.write(`${user}:${hash}\n`)
    })
}

const examples = `
It prompts for the password, or reads it from standard input. Passwords cannot be passed as arguments,
because other users of the machine can see those.

Examples:
  # add a user
  berth htpasswd alice >> htpasswd
  # create a user with a random password, and keep the password in a file
  openssl rand -hex 16 | tee password.txt | berth htpasswd kubelet > htpasswd`
