using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Chaos;

/// <summary>Strikes nodes with one kind of fault, sees when it is there, and ends it again.</summary>
/// <param name="kind">Of all faults of a run.</param>
/// <param name="script">What starts, ends and stops processes.</param>
/// <param name="processes">Where they are seen.</param>
/// <param name="host">What is done to the machine under a node; null where its process alone is struck.</param>
/// <param name="cluster">The nodes.</param>
internal sealed class Faults(
    Fault kind, ClusterScript script, ServerProcesses processes, HostFault? host, ClusterFile cluster)
{
    private static readonly TimeSpan LongestRecovery = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(5);

    /// <summary>Returns when the fault is there.</summary>
    public async Task StrikeAsync(FaultRound round, Recorder recorder, CancellationToken cancellation)
    {
        if (host is not null)
        {
            round.LastWellNs = recorder.Now;
            round.Nodes.ToList().ForEach(host.Strike);
            round.StruckNs = recorder.Now;
            return;
        }

        int[] pids = [.. round.Nodes.Select(node => processes.PidOf(node) ?? throw new ServersException($"{node} does not run"))];
        Func<int, bool> isWell = kind == Fault.Pause ? pid => !ServerProcesses.IsPaused(pid) : ServerProcesses.IsAlive;

        // The script needs some milliseconds to start and to end; the moment is seen by looking, not by its return.
        var watch = Task.Factory.StartNew(
            () =>
            {
                round.LastWellNs = recorder.Now;
                for (long now = recorder.Now; pids.Any(isWell); now = recorder.Now)
                {
                    // All of them well: the outage of a kill-all starts with the first death.
                    round.LastWellNs = pids.All(isWell) ? now : round.LastWellNs;
                    Thread.Sleep(1);
                }

                round.StruckNs = recorder.Now;
            },
            cancellation, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await Task.WhenAll(round.Nodes.Select(node =>
            kind == Fault.Pause ? script.PauseAsync(node, cancellation) : script.KillAsync(node, cancellation)));
        await watch;
    }

    /// <summary>kill -9 and a start while the fault is on; returns when the nodes are ready.</summary>
    public async Task RestartAsync(FaultRound round, CancellationToken cancellation)
    {
        foreach (string node in round.Nodes)
        {
            await script.KillAsync(node, cancellation);
            await script.RestartAsync(node, cancellation);
        }
    }

    /// <summary>Notes who calls itself ready and must not.</summary>
    public async Task RequireNotReadyAsync(FaultRound round, CancellationToken cancellation)
    {
        using var probe = new ServerProbe(cluster, processes);
        foreach (var node in cluster.Nodes.Where(node => round.Nodes.Contains(node.Name)))
        {
            if (await probe.IsReadyAsync(node, cancellation))
            {
                round.Broken.Add($"{node.Name} calls itself ready");
            }
        }
    }

    /// <summary>Ends the fault; returns when the nodes are ready.</summary>
    /// <param name="round">Whom it has struck.</param>
    /// <param name="loseConnections">Where they were cut off: what is on its way is lost instead of late.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <exception cref="ServersException">A node did not come back.</exception>
    public async Task EndAsync(FaultRound round, bool loseConnections, CancellationToken cancellation)
    {
        long start = TimeProvider.System.GetTimestamp();
        foreach (string node in round.Nodes)
        {
            host?.Heal(node, loseConnections);
        }

        await Task.WhenAll(round.Nodes.Select(node => kind switch
        {
            Fault.Kill => script.RestartAsync(node, cancellation),
            Fault.Pause => script.ResumeAsync(node, cancellation),
            _ => Task.CompletedTask,
        }));
        using var probe = new ServerProbe(cluster, processes);
        foreach (var node in cluster.Nodes.Where(node => round.Nodes.Contains(node.Name)))
        {
            while (!await probe.IsReadyAsync(node, cancellation))
            {
                if (TimeProvider.System.GetElapsedTime(start) > LongestRecovery)
                {
                    throw new ServersException($"{node.Name} was not ready {LongestRecovery.TotalSeconds:0} s after the end of a fault");
                }

                await Task.Delay(Poll, cancellation);
            }
        }

        round.Recovery = TimeProvider.System.GetElapsedTime(start);
    }
}

/// <summary>Does something to the machine under a node, and undoes it.</summary>
/// <param name="Strike">The node's name.</param>
/// <param name="Heal">The node's name, and whether what was on its way to it is lost instead of late.</param>
internal sealed record HostFault(Action<string> Strike, Action<string, bool> Heal);
