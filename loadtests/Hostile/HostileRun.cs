using System.Diagnostics;
using System.Globalization;
using KvStore.LoadTests.Reports;
using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Hostile;

/// <summary>Starts the nodes, and lets a process of its own carry out one attack after the other while another client works.</summary>
internal sealed class HostileRun(ClusterFile cluster, ClusterScript script, ServerProcesses processes, Progress progress)
{
    /// <summary>So long the other client works alone, and again under each attack once it has begun.</summary>
    public required TimeSpan Length { get; init; }

    /// <summary>For an attacker to mount its attack; the other client works meanwhile, and what it meets counts.</summary>
    private static readonly TimeSpan MountLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan LeaderChange = TimeSpan.FromSeconds(4);
    private static readonly TimeSpan MemoryPace = TimeSpan.FromMilliseconds(100);

    // The node that is attacked, and the one that goes down where an attack wants that.
    private NodeAddress Target => cluster.Nodes[0];

    private NodeAddress Victim => cluster.Nodes[^1];

    public async Task<HostileFigures> RunAsync(IReadOnlyList<Attack> attacks, int rounds, CancellationToken cancellation)
    {
        List<AttackRound> done = [];
        string? breakdown = null;
        try
        {
            await script.UpAsync(cancellation);
            for (int round = 0; round < rounds; round++)
            {
                foreach (var attack in attacks)
                {
                    done.Add(await RunAsync(attack, cancellation));
                    progress.Say($"round {round + 1} of {rounds}, {attack.Name}: {done[^1].Answers} answers, {done[^1].Failures.Count} failed, "
                        + string.Create(CultureInfo.InvariantCulture, $"p99 {done[^1].CalmP99:0.0} and {done[^1].P99:0.0} ms, {done[^1].Mounted.Begun:N0} of {attack.Parts:N0} parts begun, {done[^1].Mounted.Most:N0} at once"));
                }
            }
        }
        catch (ServersException e)
        {
            breakdown = e.Message;
        }
        finally
        {
            await script.DownAsync(CancellationToken.None);
        }

        return new HostileFigures(done, attacks.Count * rounds, breakdown);
    }

    private async Task<AttackRound> RunAsync(Attack attack, CancellationToken cancellation)
    {
        NodeAddress[] up = [.. cluster.Nodes.Where(node => !attack.TakesNodeDown || node != Victim)];
        var pids = up.ToDictionary(node => node.Name, node => processes.PidOf(node.Name));
        await using var bystander = new Bystander(up);
        var (calm, alreadyFailed) = await ForAsync(bystander, Length, cancellation);
        if (attack.TakesNodeDown)
        {
            await script.KillAsync(Victim.Name, cancellation);
            await Task.Delay(LeaderChange, cancellation);
        }

        long most = 0;
        using var attacker = AttackerProcess.Start(cluster.Path, Target, attack);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var working = bystander.RunAsync(over.Token);
        long started = Stopwatch.GetTimestamp();
        bool isMounted = false;
        while (!working.IsCompleted)
        {
            if (!isMounted && (attacker.Mounted.Begun >= HostileFigures.LeastMounted(attack) || Stopwatch.GetElapsedTime(started) > MountLimit))
            {
                isMounted = true;
                over.CancelAfter(Length);
            }

            progress.Show($"{attack.Name}: {attacker.Mounted.Begun:N0} of {attack.Parts:N0} parts begun");
            most = Math.Max(most, processes.Read([Target.Name])?.ResidentBytes ?? 0);
            await Task.Delay(MemoryPace, cancellation);
        }

        var (latency, failures) = await working;
        Mounted mounted = await attacker.StopAsync();
        string[] ended = [.. pids.Where(node => node.Value is not { } pid || !ServerProcesses.IsAlive(pid)).Select(node => node.Key)];
        long limit = await MemoryLimitAsync(cancellation);
        if (attack.TakesNodeDown)
        {
            await script.RestartAsync(Victim.Name, cancellation);
        }

        return new AttackRound
        {
            Attack = attack,
            CalmP99 = calm.Percentile(99) / 1e6,
            P99 = latency.Percentile(99) / 1e6,
            Answers = latency.Count,
            Failures = [.. alreadyFailed.Select(failure => "before the attack: " + failure), .. failures],
            Mounted = mounted,
            MostResident = most,
            MemoryLimit = limit,
            Ended = ended,
        };
    }

    private static async Task<(Measuring.LatencyHistogram Latency, IReadOnlyList<string> Failures)> ForAsync(
        Bystander bystander, TimeSpan length, CancellationToken cancellation)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        stop.CancelAfter(length);
        return await bystander.RunAsync(stop.Token);
    }

    private async Task<long> MemoryLimitAsync(CancellationToken cancellation)
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
        try
        {
            var counters = new ServerCounters();
            counters.Add(await http.GetStringAsync(new Uri(Target.Http, "/metrics"), cancellation));
            return (long)(counters.Find("kvstore_memory_limit_bytes") ?? 0);
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !cancellation.IsCancellationRequested)
        {
            return 0; // it has ended, which is said
        }
    }
}
