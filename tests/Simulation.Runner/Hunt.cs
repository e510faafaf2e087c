using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;

namespace KvStore.Simulation.Runner;

/// <summary>
/// Many seeds in parallel processes: a run is one thread by design, so cores are used by running several. Each worker process
/// runs one seed and prints its figures; a violation is printed at once, with the command that replays it.
/// </summary>
internal static class Hunt
{
    private const string WorkerPrefix = "worker:";

    /// <summary>What a worker adds to its result line, for the totals.</summary>
    public static void WriteWorkerResult(RunResult result)
    {
        foreach ((string kind, int count) in result.Faults)
        {
            Console.WriteLine($"{WorkerPrefix}fault {kind} {count}");
        }

        foreach ((string mark, long count) in result.Marks.Counts)
        {
            Console.WriteLine($"{WorkerPrefix}mark {mark} {count}");
        }

        Console.WriteLine($"{WorkerPrefix}acknowledged all {result.Acknowledged}");
    }

    public static int Run(RunnerOptions options, int seeds)
    {
        var watch = Stopwatch.StartNew();
        var totals = new Totals();
        long next = 0;
        Thread[] lanes = [.. Enumerable.Range(0, options.Processes).Select(_ => new Thread(() =>
        {
            while (watch.Elapsed.TotalMinutes < options.Minutes)
            {
                long n = Interlocked.Increment(ref next) - 1;
                if (n >= seeds)
                {
                    return;
                }

                RunSeed(options.From + (ulong)n, totals);
                Progress(totals, seeds, watch);
            }
        }))];
        foreach (Thread lane in lanes)
        {
            lane.Start();
        }

        foreach (Thread lane in lanes)
        {
            lane.Join();
        }

        Console.WriteLine();
        totals.Print(watch.Elapsed);
        return totals.Violations == 0 ? 0 : 1;
    }

    private static void RunSeed(ulong seed, Totals totals)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardOutput = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath!) == "dotnet")
        {
            start.ArgumentList.Add(typeof(Hunt).Assembly.Location);
        }

        foreach (string argument in (string[])["--seed", seed.ToString(CultureInfo.InvariantCulture), "--worker"])
        {
            start.ArgumentList.Add(argument);
        }

        using Process worker = Process.Start(start)!;
        string output = worker.StandardOutput.ReadToEnd();
        worker.WaitForExit();
        totals.Add(seed, output, worker.ExitCode);
    }

    private static void Progress(Totals totals, int seeds, Stopwatch watch)
    {
        string of = seeds == int.MaxValue ? "" : $"/{seeds}";
        string line = $"seeds {totals.Seeds}{of}  simulated {totals.SimulatedSeconds / 3600.0:F2} h  faults {totals.FaultCount}  "
            + $"violations {totals.Violations}  {watch.Elapsed:hh\\:mm\\:ss}";
        if (!Console.IsOutputRedirected)
        {
            Console.Write($"\r{line}   ");
        }
        else if (totals.Seeds % 100 == 0)
        {
            Console.WriteLine(line);
        }
    }

    private sealed class Totals
    {
        private readonly ConcurrentDictionary<string, long> _figures = new();
        private long _seeds;
        private long _simulatedSeconds;
        private long _violations;

        public long Seeds => Interlocked.Read(ref _seeds);

        public long SimulatedSeconds => Interlocked.Read(ref _simulatedSeconds);

        public long Violations => Interlocked.Read(ref _violations);

        public long FaultCount => _figures.Where(f => f.Key.StartsWith("fault ", StringComparison.Ordinal)).Sum(f => f.Value);

        public void Add(ulong seed, string output, int exitCode)
        {
            Interlocked.Increment(ref _seeds);
            foreach (string line in output.Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                if (line.StartsWith(WorkerPrefix, StringComparison.Ordinal))
                {
                    string[] words = line[WorkerPrefix.Length..].Split(' ');
                    long count = long.Parse(words[2], CultureInfo.InvariantCulture);
                    _figures.AddOrUpdate($"{words[0]} {words[1]}", count, (_, before) => before + count);
                }
                else if (line.Split("simulated=") is [_, var rest])
                {
                    Interlocked.Add(ref _simulatedSeconds, long.Parse(rest.Split(' ')[0], CultureInfo.InvariantCulture));
                }
            }

            if (exitCode != 0)
            {
                Interlocked.Increment(ref _violations);
                Console.WriteLine($"\n{output.Split('\n', StringSplitOptions.RemoveEmptyEntries).LastOrDefault() ?? $"seed={seed} ended with {exitCode}"}");
                Console.WriteLine($"replay: dotnet run -c Release --project tests/Simulation.Runner -- --seed {seed}");
            }
        }

        public void Print(TimeSpan took)
        {
            Console.WriteLine(
                $"commit {Commit.Current()}: {Seeds} seeds, {SimulatedSeconds / 3600.0:F2} simulated hours in {took.TotalHours:F2} hours "
                + $"({SimulatedSeconds / Math.Max(1, took.TotalSeconds):F1} simulated seconds per second), {Violations} violations");
            foreach ((string figure, long count) in _figures.OrderBy(f => f.Key, StringComparer.Ordinal))
            {
                Console.WriteLine($"  {figure}: {count}");
            }
        }
    }
}
