using System.CommandLine;
using KvStore.Client;

namespace KvStore.Cli.Commands;

/// <summary>
/// Counts in one key from many workers at once and looks whether every number was given out once, and whether a strong read ever went back:
/// what a store that loses, repeats or reorders cannot pass.
/// </summary>
internal static class CheckCommand
{
    public static Command Create(Shell shell)
    {
        var workers = new Option<int>("--workers") { DefaultValueFactory = _ => 16, Description = "Counting at once." };
        var count = new Option<int>("--count") { DefaultValueFactory = _ => 200, Description = "Times each counts." };
        var command = new Command("check", "Probes a live cluster: counts at once from many sides and looks whether anything is lost or done twice.")
        {
            workers, count,
        };
        command.SetAction(async (parsed, stop) =>
        {
            await using KvClient kv = shell.Connect(parsed);
            KvKey key = $"kvctl/check/{Guid.NewGuid():N}";
            int each = parsed.GetValue(count);
            var seen = new long[parsed.GetValue(workers)][];
            int wentBack = 0;
            await Task.WhenAll(Enumerable.Range(0, seen.Length).Select(async worker =>
            {
                seen[worker] = new long[each];
                for (int i = 0; i < each; i++)
                {
                    seen[worker][i] = await kv.IncrementAsync(key, cancellationToken: stop);
                    KvRead read = await kv.GetAsync(key, Read.Strong, stop);
                    if (!read.Found || read.Value.AsInt64() < seen[worker][i])
                    {
                        Interlocked.Increment(ref wentBack);
                    }
                }
            }));
            long total = (long)seen.Length * each;
            int distinct = seen.SelectMany(mine => mine).Distinct().Count();
            long last = (await kv.GetAsync(key, Read.Strong, stop)).Value.AsInt64();
            await kv.DeleteAsync(key, cancellationToken: stop);
            bool holds = distinct == total && last == total && wentBack == 0;
            shell.Print(parsed, ["holds", "increments", "distinct", "counter", "readsThatWentBack"], [[holds, total, distinct, last, wentBack]]);
            return holds ? ExitCode.Ok : ExitCode.Failure;
        });
        return command;
    }
}
