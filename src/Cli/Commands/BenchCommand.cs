using System.CommandLine;
using System.Diagnostics;
using KvStore.Client;

namespace KvStore.Cli.Commands;

/// <summary>
/// A closed loop: so many workers, each with one call on its way. It shows what this machine can do with this cluster now; for figures under a
/// given load there is the load generator of the repository.
/// </summary>
internal static class BenchCommand
{
    private static readonly double[] Percentiles = [50, 90, 99, 99.9, 100];

    public static Command Create(Shell shell)
    {
        var seconds = new Option<int>("--seconds") { Description = "How long.", DefaultValueFactory = _ => 10 };
        var workers = new Option<int>("--workers") { Description = "Calls on their way at once.", DefaultValueFactory = _ => 64 };
        var keys = new Option<int>("--keys") { Description = "Keys under bench/.", DefaultValueFactory = _ => 10_000 };
        var size = new Option<int>("--value-bytes") { Description = "Size of a value.", DefaultValueFactory = _ => 256 };
        var writes = new Option<int>("--writes") { Description = "Share of writes in percent.", DefaultValueFactory = _ => 50 };
        var command = new Command("bench", "Measures calls per second and latencies.") { seconds, workers, keys, size, writes };
        command.SetAction(async (parsed, stop) =>
        {
            await using KvClient kv = shell.Connect(parsed);
            await kv.ConnectAsync(stop);
            var run = new Run(kv, parsed.GetValue(keys), parsed.GetValue(size), parsed.GetValue(writes));
            TimeSpan length = TimeSpan.FromSeconds(parsed.GetValue(seconds));
            using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
            over.CancelAfter(length);
            long started = Stopwatch.GetTimestamp();
            Task work = Task.WhenAll(Enumerable.Range(0, parsed.GetValue(workers)).Select(worker => run.WorkAsync(worker, over.Token)));
            await ShowProgressAsync(shell, run, started, length, work);
            double took = Stopwatch.GetElapsedTime(started).TotalSeconds;
            double[] latencies = run.SortedMs();
            shell.Print(parsed, ["calls", "callsPerSecond", "errors", .. Percentiles.Select(p => p == 100 ? "maxMs" : $"p{p}Ms")],
            [
                [
                    latencies.Length, Math.Round(latencies.Length / took), run.Errors,
                    .. Percentiles.Select(p => (object?)Math.Round(At(latencies, p), 2)),
                ],
            ]);
            return run.Errors == 0 ? ExitCode.Ok : ExitCode.Failure;
        });
        return command;
    }

    private static async Task ShowProgressAsync(Shell shell, Run run, long started, TimeSpan length, Task work)
    {
        long before = 0;
        while (await Task.WhenAny(work, Task.Delay(1000)) != work)
        {
            if (Shell.IsTerminal)
            {
                TimeSpan left = length - Stopwatch.GetElapsedTime(started);
                await shell.Errors.WriteAsync($"\r{run.Calls - before,9:N0}/s  {Math.Max(0, left.TotalSeconds),4:0} s left ");
                before = run.Calls;
            }
        }

        await work;
        if (Shell.IsTerminal)
        {
            await shell.Errors.WriteAsync("\r                              \r");
        }
    }

    private static double At(double[] sorted, double percentile) =>
        sorted.Length == 0 ? 0 : sorted[Math.Min(sorted.Length - 1, (int)(sorted.Length * percentile / 100))];

    private sealed class Run(KvClient kv, int keys, int valueBytes, int writePercent)
    {
        private readonly List<List<double>> _latencies = [];
        private long _calls;
        private long _errors;

        public long Calls => Interlocked.Read(ref _calls);

        public long Errors => Interlocked.Read(ref _errors);

        public async Task WorkAsync(int worker, CancellationToken stop)
        {
            var mine = new List<double>(1 << 14);
            lock (_latencies)
            {
                _latencies.Add(mine);
            }

            var random = new Random(worker);
            byte[] value = new byte[valueBytes];
            random.NextBytes(value);
            while (!stop.IsCancellationRequested)
            {
                KvKey key = $"bench/{random.Next(keys)}";
                long began = Stopwatch.GetTimestamp();
                try
                {
                    if (random.Next(100) < writePercent)
                    {
                        await kv.PutAsync(key, value, cancellationToken: CancellationToken.None);
                    }
                    else
                    {
                        await kv.GetAsync(key, cancellationToken: CancellationToken.None);
                    }

                    mine.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
                }
                catch (KvException)
                {
                    Interlocked.Increment(ref _errors);
                }

                Interlocked.Increment(ref _calls);
            }
        }

        public double[] SortedMs()
        {
            double[] all = [.. _latencies.SelectMany(mine => mine)];
            Array.Sort(all);
            return all;
        }
    }
}
