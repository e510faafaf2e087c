using System.CommandLine;
using System.Text;
using KvStore.Client;
using KvStore.Protocol;

namespace KvStore.Cli.Commands;

/// <summary>get, put, del, incr, append, batch.</summary>
internal static class DataCommands
{
    private static readonly string[] ReadColumns = ["key", "value", "type", "revision", "level", "ageMs", "node", "role"];
    private static readonly string[] WriteColumns = ["key", "applied", "revision", "existed"];

    public static IEnumerable<Command> All(Shell shell) =>
        [Get(shell), Put(shell), Del(shell), Incr(shell), Append(shell), Batch(shell)];

    private static Command Get(Shell shell)
    {
        var key = new Argument<string>("key");
        var command = new Command("get", "Prints the value of a key; -o table shows where it came from and how old it may be.") { key };
        command.SetAction(async (parsed, stop) =>
        {
            await using KvClient kv = shell.Connect(parsed);
            KvRead read = await kv.GetAsync(parsed.GetValue(key)!, cancellationToken: stop);
            if (!read.Found)
            {
                await shell.Errors.WriteLineAsync($"{parsed.GetValue(key)} is not there");
                return ExitCode.NotFound;
            }

            string text = KvTextOf(read.Value);
            if (shell.FormOf(parsed) == OutputForm.Raw)
            {
                await shell.Output.WriteAsync(text);
                return ExitCode.Ok;
            }

            shell.Print(parsed, ReadColumns,
            [
                [
                    parsed.GetValue(key), text, read.Value.ContentType ?? "application/octet-stream", read.Revision.Value,
                    read.Evidence.Level.ToString().ToLowerInvariant(), read.Age?.TotalMilliseconds, read.Evidence.Node,
                    read.Evidence.Role.ToString().ToLowerInvariant(),
                ],
            ]);
            return ExitCode.Ok;
        });
        return command;
    }

    private static Command Put(Shell shell)
    {
        var key = new Argument<string>("key");
        var value = new Argument<string>("value") { Description = "The text; - reads it from standard input." };
        var type = new Option<string?>("--type") { Description = "Content type; text/plain unless said otherwise." };
        var condition = new ConditionOptions();
        var command = new Command("put", "Writes a value.") { key, value, type };
        condition.AddTo(command);
        command.SetAction(async (parsed, stop) =>
        {
            await using KvClient kv = shell.Connect(parsed);
            var bytes = new KvValue(Encoding.UTF8.GetBytes(await TextAsync(shell, parsed.GetValue(value)!, stop)), parsed.GetValue(type) ?? KvValue.TextType);
            KvWrite write = await kv.PutAsync(parsed.GetValue(key)!, bytes, condition.Of(parsed), stop);
            return PrintWrite(shell, parsed, parsed.GetValue(key)!, write);
        });
        return command;
    }

    private static Command Append(Shell shell)
    {
        var key = new Argument<string>("key");
        var value = new Argument<string>("value") { Description = "The text; - reads it from standard input." };
        var condition = new ConditionOptions();
        var command = new Command("append", "Adds to the end of a value.") { key, value };
        condition.AddTo(command);
        command.SetAction(async (parsed, stop) =>
        {
            await using KvClient kv = shell.Connect(parsed);
            KvWrite write = await kv.AppendAsync(
                parsed.GetValue(key)!, await TextAsync(shell, parsed.GetValue(value)!, stop), condition.Of(parsed), stop);
            return PrintWrite(shell, parsed, parsed.GetValue(key)!, write);
        });
        return command;
    }

    private static Command Del(Shell shell)
    {
        var key = new Argument<string>("key");
        var condition = new ConditionOptions();
        var command = new Command("del", "Removes a key.") { key };
        condition.AddTo(command);
        command.SetAction(async (parsed, stop) =>
        {
            await using KvClient kv = shell.Connect(parsed);
            return PrintWrite(shell, parsed, parsed.GetValue(key)!, await kv.DeleteAsync(parsed.GetValue(key)!, condition.Of(parsed), stop));
        });
        return command;
    }

    private static Command Incr(Shell shell)
    {
        var key = new Argument<string>("key");
        var delta = new Argument<long>("delta") { DefaultValueFactory = _ => 1 };
        var initial = new Option<long>("--initial") { Description = "What an absent key holds before the delta." };
        var command = new Command("incr", "Adds to a counter and prints it.") { key, delta, initial };
        command.SetAction(async (parsed, stop) =>
        {
            await using KvClient kv = shell.Connect(parsed);
            long number = await kv.IncrementAsync(
                parsed.GetValue(key)!, parsed.GetValue(delta), parsed.GetValue(initial), cancellationToken: stop);
            if (shell.FormOf(parsed) == OutputForm.Raw)
            {
                await shell.Output.WriteLineAsync($"{number}");
            }
            else
            {
                shell.Print(parsed, ["key", "value"], [[parsed.GetValue(key), number]]);
            }

            return ExitCode.Ok;
        });
        return command;
    }

    private static Command Batch(Shell shell)
    {
        var file = new Argument<string>("file") { Description = "Lines such as {\"op\":\"put\",\"key\":\"a\",\"value\":\"1\"}; - reads standard input." };
        var atomic = new Option<bool>("--atomic") { Description = "All or none; the keys need one {tag}." };
        var command = new Command("batch", "Carries out put, append, delete, incr and get of a file, a JSON object a line.") { file, atomic };
        command.SetAction(async (parsed, stop) =>
        {
            await using KvClient kv = shell.Connect(parsed);
            string text = parsed.GetValue(file) == "-" ? await shell.Input.ReadToEndAsync(stop) : await File.ReadAllTextAsync(parsed.GetValue(file)!, stop);
            BatchLine[] lines = [.. BatchLine.ParseAll(text)];
            return parsed.GetValue(atomic)
                ? await AtomicAsync(shell, parsed, kv, lines, stop)
                : await EachAsync(shell, parsed, kv, lines, stop);
        });
        return command;
    }

    private static async Task<int> EachAsync(Shell shell, ParseResult parsed, KvClient kv, BatchLine[] lines, CancellationToken stop)
    {
        KvBatch batch = lines.Aggregate(new KvBatch(), (calls, line) => line.Verb.AddTo(calls, line));
        KvBatchResult result = await kv.BatchAsync(batch, stop);
        shell.Print(parsed, ["op", "key", "result", "error"],
        [
            .. result.Items.Select((item, i) => new object?[]
            {
                lines[i].Op, lines[i].Key,
                item.Read is { } read ? (string?)read : item.Number?.ToString() ?? item.Write?.Revision.ToString(), item.Error?.Code.ToString(),
            }),
        ]);
        foreach ((KvBatchItem item, BatchLine line) in result.Items.Zip(lines).Where(pair => pair.First.Error is not null))
        {
            await shell.Errors.WriteLineAsync($"error: line {line.Number}: {Kvctl.TextOf(item.Error!)}");
        }

        return result.Items.FirstOrDefault(item => item.Error is not null)?.Error is { } error ? ExitCode.Of(error) : ExitCode.Ok;
    }

    private static async Task<int> AtomicAsync(Shell shell, ParseResult parsed, KvClient kv, BatchLine[] lines, CancellationToken stop)
    {
        var transaction = new KvTransaction();
        foreach (BatchLine line in lines)
        {
            _ = line.Verb.AddToAtomic is { } add
                ? add(transaction, line)
                : throw new ArgumentException($"line {line.Number}: a {line.Op} has no place in an atomic batch");
        }

        KvTransactionResult result = await kv.TransactAsync(transaction, stop);
        shell.Print(parsed, ["op", "key", "result", "error"],
        [
            .. result.Items.Select((item, i) => new object?[]
            {
                lines[i].Op, lines[i].Key, item.Number?.ToString() ?? item.Revision.ToString(),
                item.Code == ErrorCode.None ? null : item.Code.ToString(),
            }),
        ]);
        if (result.FailedAt is >= 0 and var failed)
        {
            await shell.Errors.WriteLineAsync(
                $"error: line {lines[failed].Number}: {lines[failed].Key}: {result.Items[failed].Code}; nothing of the file was done");
        }

        return result.Applied ? ExitCode.Ok : ExitCode.ConditionFailed;
    }

    private static int PrintWrite(Shell shell, ParseResult parsed, string key, KvWrite write)
    {
        if (shell.FormOf(parsed) == OutputForm.Raw)
        {
            shell.Output.WriteLine(write.Revision);
        }
        else
        {
            shell.Print(parsed, WriteColumns, [[key, write.Applied, write.Revision.Value, write.Existed]]);
        }

        if (!write.Applied)
        {
            shell.Errors.WriteLine(
                write.Revision.IsAbsent
                    ? $"{key} is not there, and so the condition does not hold: nothing was written"
                    : $"{key} is there at revision {write.Revision}, and so the condition does not hold: nothing was written");
        }

        return write.Applied ? ExitCode.Ok : ExitCode.ConditionFailed;
    }

    private static async ValueTask<string> TextAsync(Shell shell, string value, CancellationToken stop) =>
        value == "-" ? await shell.Input.ReadToEndAsync(stop) : value;

    private static string KvTextOf(KvValue value) =>
        System.Text.Unicode.Utf8.IsValid(value.Bytes.Span) ? value.AsText() : "base64:" + Convert.ToBase64String(value.Bytes.Span);

    private sealed class ConditionOptions
    {
        private readonly Option<ulong?> _revision = new("--if-revision") { Description = "Only if the key has this revision; 0: only if it is not there." };
        private readonly Option<bool> _absent = new("--create") { Description = "Only if the key is not there." };
        private readonly Option<bool> _exists = new("--replace") { Description = "Only if the key is there." };

        public void AddTo(Command command)
        {
            command.Add(_revision);
            command.Add(_absent);
            command.Add(_exists);
        }

        public WriteOptions Of(ParseResult parsed) => new()
        {
            IfRevision = parsed.GetValue(_revision) is { } revision ? new KvRevision(revision) : null,
            IfAbsent = parsed.GetValue(_absent),
            IfExists = parsed.GetValue(_exists),
        };
    }
}
