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
    private const int SeedsPerWorker = 10;

    /// <summary>The worker's side: several seeds in one process, for starting one costs more than a run.</summary>
    public static int Work(ulong from, int seeds)
    {
        int exitCode = 0;
        for (ulong seed = from; seed < from + (ulong)seeds; seed++)
        {
            RunResult result = SimulationRun.Execute(seed);
            foreach ((string kind, int count) in result.Faults)
            {
                Console.WriteLine($"{WorkerPrefix}fault {kind} {count}");
            }

            foreach ((string mark, long count) in result.Marks.Counts)
            {
                Console.WriteLine($"{WorkerPrefix}mark {mark} {count}");
            }

            Console.WriteLine($"{WorkerPrefix}acknowledged all {result.Acknowledged}");
            Console.WriteLine(result.ResultLine);
            exitCode |= result.Violation is null ? 0 : 1;
        }

        return exitCode;
    }

    public static int Run(RunnerOptions options, int seeds)
    {
        var watch = Stopwatch.StartNew();

        // Now, and not at the end: somebody may check out another one meanwhile.
        string commit = Commit.Current();
        var totals = new Totals();
        long next = 0;
        Thread[] lanes = [.. Enumerable.Range(0, options.Processes).Select(_ => new Thread(() =>
        {
            while (watch.Elapsed.TotalMinutes < options.Minutes)
            {
                long n = Interlocked.Add(ref next, SeedsPerWorker) - SeedsPerWorker;
                if (n >= seeds)
                {
                    return;
                }

                RunWorker(options.From + (ulong)n, (int)Math.Min(SeedsPerWorker, seeds - n), totals);
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
        totals.Print(commit, watch.Elapsed);
        return totals.Violations == 0 ? 0 : 1;
    }

    private static void RunWorker(ulong from, int count, Totals totals)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardOutput = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath!) == "dotnet")
        {
            start.ArgumentList.Add(typeof(Hunt).Assembly.Location);
        }

        foreach (string argument in (string[])["--seed", $"{from}", "--worker-seeds", $"{count}"])
        {
            start.ArgumentList.Add(argument);
        }

        using Process worker = Process.Start(start)!;
        string output = worker.StandardOutput.ReadToEnd();
        worker.WaitForExit();
        totals.Add(from, output, worker.ExitCode);
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
        else if (totals.Seeds % (10 * SeedsPerWorker) == 0)
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

        public void Add(ulong from, string output, int exitCode)
        {
            foreach (string line in output.Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                if (line.StartsWith(WorkerPrefix, StringComparison.Ordinal))
                {
                    string[] words = line[WorkerPrefix.Length..].Split(' ');
                    long count = long.Parse(words[2], CultureInfo.InvariantCulture);
                    _figures.AddOrUpdate($"{words[0]} {words[1]}", count, (_, before) => before + count);
                }
                else if (line.StartsWith("seed=", StringComparison.Ordinal))
                {
                    AddResult(line);
                }
            }

            if (exitCode is not (0 or 1))
            {
                Interlocked.Increment(ref _violations);
                Console.WriteLine($"\nthe worker of seeds from {from} on ended with {exitCode}");
            }
        }

        private void AddResult(string line)
        {
            Interlocked.Increment(ref _seeds);
            Dictionary<string, string> fields = line.Split(' ').Select(f => f.Split('=', 2)).ToDictionary(f => f[0], f => f[1]);
            Interlocked.Add(ref _simulatedSeconds, long.Parse(fields["simulated"], CultureInfo.InvariantCulture));
            if (fields["result"] != "ok")
            {
                Interlocked.Increment(ref _violations);
                Console.WriteLine($"\n{line}");
                Console.WriteLine($"replay: dotnet run -c Release --project tests/Simulation.Runner -- --seed {fields["seed"]}");
            }
        }

        public void Print(string commit, TimeSpan took)
        {
            Console.WriteLine(
                $"commit {commit}: {Seeds} seeds, {SimulatedSeconds / 3600.0:F2} simulated hours in {took.TotalHours:F2} hours "
                + $"({SimulatedSeconds / Math.Max(1, took.TotalSeconds):F1} simulated seconds per second), {Violations} violations");
            foreach ((string figure, long count) in _figures.OrderBy(f => f.Key, StringComparer.Ordinal))
            {
                Console.WriteLine($"  {figure}: {count}");
            }

            string[] missed = [.. CoverageMarks.Expected.Where(mark => !_figures.ContainsKey($"mark {mark}"))];
            Console.WriteLine(missed.Length == 0 ? "every expected mark was reached" : $"never reached: {string.Join(", ", missed)}");
        }
    }
}
