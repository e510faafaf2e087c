using System.Text;
using KvStore.LoadTests.Chaos.Machine;
using KvStore.LoadTests.Load;
using KvStore.LoadTests.Reports;
using KvStore.LoadTests.Servers;
using KvStore.Protocol;

namespace KvStore.LoadTests.Chaos;

internal sealed record ChaosOptions(ChaosScenario Scenario, int Rounds, TimeSpan? During, int Seed, string OutDirectory)
{
    public string HistoryPath => Path.Combine(OutDirectory, "history.jsonl");
}

/// <summary>One chaos run on real processes: load, faults, a last look at every key through every node, figures.</summary>
internal sealed class ChaosRun(
    ChaosOptions options, ClusterFile cluster, ClusterScript script, Faults faults, Progress progress, LimitedMemory? memory = null)
{
    private const int Writers = 20;
    private const int Sessions = 14;
    private const int Readers = 14;
    private const int KeysPerWriter = 100;
    private const int FinalReaders = 32;

    /// <summary>Where a run is measured in time, the void-run rule still asks for this many faults.</summary>
    private const int LeastRounds = 10;

    // 48 processes 40 ms apart are 1,200 operations a second: twice what a run needs to count, and little enough to leave the
    // processor to the servers.
    private static readonly TimeSpan OperationInterval = TimeSpan.FromMilliseconds(40);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan FinalPatience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Steady = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ProbesBefore = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LongestOutage = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(5);

    // What was freed for good has gone back to the system by then.
    private static readonly TimeSpan SettleMemory = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan MemoryPoll = TimeSpan.FromMilliseconds(200);

    // Long enough for ages to grow past every bound that is asked for, and for elections to end.
    private static readonly TimeSpan ShortestPartialFault = TimeSpan.FromSeconds(2);

    private readonly Random _random = new(options.Seed);
    private readonly string[] _names = [.. cluster.Nodes.Select(node => node.Name)];
    private readonly List<MemoryRound> _memory = [];

    public async Task<ChaosFigures> RunAsync(CancellationToken cancellation)
    {
        Directory.CreateDirectory(options.OutDirectory);
        progress.Say($"starting {string.Join(", ", _names)}");
        try
        {
            await script.UpAsync(cancellation);
            return await RunOnClusterAsync(cancellation);
        }
        finally
        {
            await script.DownAsync(CancellationToken.None);
        }
    }

    private async Task<ChaosFigures> RunOnClusterAsync(CancellationToken cancellation)
    {
        var probeKeys = await Prober.LocateKeysAsync(cluster, cancellation);
        string[][] keys = [.. Enumerable.Range(0, Writers + Sessions).Select(KeysOf)];
        var ring = await Ring.FetchAsync(cluster, cancellation);
        var rounds = new List<FaultRound>();
        string? breakdown = null;
        double answersPerSecond;

        await using var binary = new BinaryClient(cluster.Nodes, connectionsPerNode: 2, ring);
        await using var rest = new RestClient(cluster.Nodes, _names, recording: true);
        await using var probes = new BinaryClient(cluster.Nodes, connectionsPerNode: 1);
        await using (var history = new HistoryFile(options.HistoryPath))
        {
            var recorder = new Recorder(history, _names);
            var prober = new Prober(probes, recorder, probeKeys, _names, _random.Next());
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            var probing = Task.Run(() => prober.RunAsync(stop.Token), CancellationToken.None);
            Task[] load = [probing, .. StartLoad([binary, rest], recorder, keys, stop.Token)];
            try
            {
                await Task.Delay(WarmUp, cancellation);
                answersPerSecond = await MeasureRateAsync(recorder, cancellation);
                progress.Say($"{answersPerSecond:N0} answers/s before the first fault");
                breakdown = memory is null
                    ? await StrikeAsync(rounds, prober, recorder, cancellation)
                    : await FillAsync(new MemoryFill(binary, rest, memory.Groups.LimitBytes, _random), memory, rounds, prober, recorder, cancellation);
            }
            finally
            {
                await stop.CancelAsync();
                await Task.WhenAll(load);
            }

            var patient = new PatientClient(binary, FinalPatience, TimeProvider.System);
            int[] through = breakdown is null ? [.. Enumerable.Range(0, _names.Length)] : await ReadyNodesAsync(cancellation);
            await ReadEverythingAsync(patient, recorder, [.. keys.SelectMany(own => own), .. probeKeys], through);
        }

        progress.Say("checking the history");
        return new ChaosFigures
        {
            History = HistoryChecker.Check(HistoryFile.Read(options.HistoryPath)),
            Rounds = rounds,
            RoundsAsked = options.During is null ? options.Rounds : LeastRounds,
            Groups = cluster.Groups,
            AnswersPerSecondBefore = answersPerSecond,
            OutageLimit = options.Scenario.OutageLimit,
            Fault = options.Scenario.Fault,
            RefusedForRoom = RefusedForRoom(),
            Memory = _memory,
            OutOfMemoryKills = memory?.Groups.OutOfMemoryKills ?? 0,
            Breakdown = breakdown,
        };
    }

    private (int NotApplied, int Other) RefusedForRoom()
    {
        var refused = HistoryFile.Read(options.HistoryPath).Where(record => record.Error == nameof(ErrorCode.DiskFull)).ToList();
        int notApplied = refused.Count(record => record.Outcome == OperationOutcome.Fail);
        return (notApplied, refused.Count - notApplied);
    }

    private static string[] KeysOf(int writer) => [.. Enumerable.Range(0, KeysPerWriter).Select(key => $"w{writer}-{key}")];

    // Every second process uses REST, so both doors and both kinds of ids are under test.
    private IEnumerable<Task> StartLoad(IStoreClient[] doors, Recorder recorder, string[][] keys, CancellationToken stop)
    {
        var clients = doors.Select(door => new PatientClient(door, Patience, TimeProvider.System)).ToArray();
        var sessions = keys[Writers..]
            .Select(own => (Session: new ClientSession(cluster.ClusterId), Keys: (IReadOnlyList<string>)own))
            .ToArray();
        for (int i = 0; i < Writers + Sessions + Readers; i++)
        {
            int number = i;
            var process = new RecordedProcess(clients[i % clients.Length], recorder, OperationInterval, _random.Next());
            yield return Task.Run(
                () => number switch
                {
                    < Writers => process.WriteAsync(keys[number], stop),
                    < Writers + Sessions => process.GoOnInSessionAsync(
                        sessions[number - Writers].Session, keys[number], [.. sessions.Where((_, other) => other != number - Writers)], stop),
                    _ => process.ReadAsync(keys, stop),
                },
                CancellationToken.None);
        }
    }

    private static async Task<double> MeasureRateAsync(Recorder recorder, CancellationToken cancellation)
    {
        long before = recorder.Acknowledged, start = recorder.Now;
        await Task.Delay(Steady, cancellation);
        return (recorder.Acknowledged - before) * 1e9 / (recorder.Now - start);
    }

    /// <returns>What ended the rounds early, or null.</returns>
    private async Task<string?> StrikeAsync(List<FaultRound> rounds, Prober prober, Recorder recorder, CancellationToken cancellation)
    {
        long start = recorder.Now;
        while (GoesOn(rounds, start, recorder))
        {
            prober.Begin();
            await Task.Delay(ProbesBefore, cancellation);
            var round = new FaultRound(rounds.Count + 1, DrawVictims(prober), cluster.Groups);
            prober.Watch(round);
            await faults.StrikeAsync(round, recorder, cancellation);
            rounds.Add(round);
            try
            {
                await EndAsync(round, prober, recorder, cancellation);
            }
            catch (ServersException e)
            {
                return $"fault {round.Number}: {e.Message}";
            }

            progress.Show(Describe(round, recorder));

            // The next fault meets the cluster at another point of its recovery each time.
            await Task.Delay(TimeSpan.FromMilliseconds(_random.Next(200, 1500)), cancellation);
        }

        return null;
    }

    private bool GoesOn(List<FaultRound> rounds, long start, Recorder recorder) =>
        options.During is { } during ? recorder.Now - start < during.TotalNanoseconds : rounds.Count < options.Rounds;

    /// <summary>The outage that is measured begins with the last delete: there is room from then on.</summary>
    /// <returns>What ended the rounds early, or null.</returns>
    private async Task<string?> FillAsync(
        MemoryFill fill, LimitedMemory memory, List<FaultRound> rounds, Prober prober, Recorder recorder, CancellationToken cancellation)
    {
        long start = recorder.Now;
        while (GoesOn(rounds, start, recorder))
        {
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            var watching = WatchAsync(memory, stop);
            var round = new FaultRound(rounds.Count + 1, _names, cluster.Groups);
            var filled = await fill.RunAsync(round, stop.Token);
            rounds.Add(round);
            if (!stop.IsCancellationRequested)
            {
                round.LastWellNs = recorder.Now;
                round.StruckNs = recorder.Now;
                prober.Watch(round);
                prober.Use(_names);
                prober.Begin();
                await UntilAcknowledgedAsync(round, recorder, cancellation);
                prober.End();
                await Task.Delay(SettleMemory, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            bool ended = stop.IsCancellationRequested;
            await stop.CancelAsync();
            await watching;
            cancellation.ThrowIfCancellationRequested();
            _memory.Add(filled with { ResidentBytes = memory.Processes.Read(_names)?.ResidentBytes });
            if (ended)
            {
                return $"round {round.Number}: a node has ended";
            }

            progress.Show($"{Describe(round, recorder)}; {_memory[^1].TakenBytes:N0} bytes taken, {_memory[^1].Refused:N0} writes refused, "
                + $"{_memory[^1].ResidentBytes:N0} bytes resident");
        }

        return null;
    }

    private async Task WatchAsync(LimitedMemory memory, CancellationTokenSource stop)
    {
        while (!stop.IsCancellationRequested)
        {
            if (memory.Groups.OutOfMemoryKills > 0 || memory.Processes.Read(_names) is null)
            {
                await stop.CancelAsync();
            }

            await Task.Delay(MemoryPoll, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task EndAsync(FaultRound round, Prober prober, Recorder recorder, CancellationToken cancellation)
    {
        bool loseConnections = _random.Next(2) == 0;
        if (options.Scenario.StrikesAll)
        {
            // Nothing can be written before nodes are back, so the restart is part of the outage.
            prober.Use(_names);
            await faults.EndAsync(round, loseConnections, cancellation);
            await UntilAcknowledgedAsync(round, recorder, cancellation);
            prober.End();
            return;
        }

        if (options.Scenario.Fault == Fault.DiskFull)
        {
            await EndFullDiskAsync(round, prober, recorder, cancellation);
            return;
        }

        if (options.Scenario.Fault != Fault.Kill)
        {
            await Task.Delay(ShortestOf(options.Scenario.Fault) + TimeSpan.FromMilliseconds(_random.Next(1000)), cancellation);
        }

        await UntilAcknowledgedAsync(round, recorder, cancellation);
        if (options.Scenario.Fault == Fault.DiskFreeze)
        {
            await faults.RequireNotReadyAsync(round, cancellation);
        }
        else if (options.Scenario.Fault == Fault.Clock && round.Nodes.Sum(prober.GroupsLedBy) is > 0 and var led)
        {
            round.Broken.Add($"{string.Join(", ", round.Nodes)} still leads {led} groups with a wrong clock");
        }

        prober.End();
        await faults.EndAsync(round, loseConnections, cancellation);
    }

    /// <summary>
    /// Its groups take nothing that grows before there is room, so the outage is counted from there. Every second time the node is killed
    /// and started on the full disk.
    /// </summary>
    private async Task EndFullDiskAsync(FaultRound round, Prober prober, Recorder recorder, CancellationToken cancellation)
    {
        await Task.Delay(ShortestPartialFault + TimeSpan.FromMilliseconds(_random.Next(1000)), cancellation);
        if (round.Number % 2 == 0)
        {
            await faults.RestartAsync(round, cancellation);
        }

        prober.Use(_names);
        round.LastWellNs = recorder.Now;
        round.StruckNs = recorder.Now;
        round.ForgetAcknowledged();
        await faults.EndAsync(round, loseConnections: false, cancellation);
        await UntilAcknowledgedAsync(round, recorder, cancellation);
        prober.End();
    }

    private static TimeSpan ShortestOf(Fault fault) => fault switch
    {
        Fault.DiskFreeze => TimeSpan.FromSeconds(12),
        Fault.Clock => TimeSpan.FromSeconds(5.5),
        _ => ShortestPartialFault,
    };

    // A node that nobody can tell from a dead one matters most while it leads, and may think so for a while longer.
    private string[] DrawVictims(Prober prober)
    {
        if (options.Scenario.StrikesAll)
        {
            return _names;
        }

        string drawn = _names[_random.Next(_names.Length)];
        bool prefersLeader = options.Scenario.Fault != Fault.Kill && _random.Next(4) > 0;
        return [prefersLeader ? prober.LeaderOfMost() ?? drawn : drawn];
    }

    private static async Task UntilAcknowledgedAsync(FaultRound round, Recorder recorder, CancellationToken cancellation)
    {
        long deadline = recorder.Now + (long)LongestOutage.TotalNanoseconds;
        while (!round.AllAcknowledged && recorder.Now < deadline)
        {
            await Task.Delay(Poll, cancellation);
        }
    }

    private string Describe(FaultRound round, Recorder recorder)
    {
        var worst = Enumerable.Range(0, cluster.Groups).Select(round.OutageOf).Max();
        return $"fault {round.Number}: {string.Join(", ", round.Nodes)}; " +
            $"slowest of {cluster.Groups} groups took a write again after {worst?.TotalSeconds:0.00} s; " +
            $"ready again after {round.Recovery?.TotalSeconds:0.00} s; {recorder.Acknowledged:N0} answers so far";
    }

    // After a breakdown: a node that is not there would be asked for half a minute for each key.
    private async Task<int[]> ReadyNodesAsync(CancellationToken cancellation)
    {
        using var probe = new ServerProbe(cluster, new ServerProcesses("."));
        List<int> ready = [];
        for (int node = 0; node < cluster.Nodes.Count; node++)
        {
            if (await probe.IsReadyAsync(cluster.Nodes[node], cancellation))
            {
                ready.Add(node);
            }
        }

        return [.. ready];
    }

    private async Task ReadEverythingAsync(PatientClient client, Recorder recorder, IReadOnlyList<string> keys, int[] through)
    {
        int next = -1, total = keys.Count * through.Length;
        var readers = Enumerable.Range(0, FinalReaders).Select(_ => Task.Run(async () =>
        {
            int process = recorder.NewProcess();
            while (Interlocked.Increment(ref next) is var number && number < total)
            {
                var request = new KvRequest { Operation = new Get(Encoding.ASCII.GetBytes(keys[number / through.Length])) };
                long call = recorder.Now;
                var answer = await client.SendAsync(through[number % through.Length], process, request, stayWithNode: true);
                recorder.Record(process, request, call, answer, final: true);
            }
        })).ToArray();
        var all = Task.WhenAll(readers);
        while (!all.IsCompleted)
        {
            await Task.WhenAny(all, Task.Delay(TimeSpan.FromMilliseconds(200)));
            progress.ShowShare("reading every key through every node", Math.Min(Volatile.Read(ref next) + 1, total), total);
        }

        await all;
    }
}
