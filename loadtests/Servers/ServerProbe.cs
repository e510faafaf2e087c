namespace KvStore.LoadTests.Servers;

/// <summary>The servers at one moment. What cannot be seen is null, never 0.</summary>
internal sealed record ServerSample(double? CpuSeconds, long? ResidentBytes, double? WalEntries, double? WalSyncs, double? CommandsApplied);

/// <summary>What the servers used between two samples, all nodes together.</summary>
internal sealed record ServerUse(double? CpuSeconds, double? Entries, double? Syncs, double? Commands)
{
    /// <summary>Log entries that shared a sync, of all groups of a node.</summary>
    public double? EntriesPerSync => Syncs is > 0 ? Entries / Syncs : null;

    /// <summary>Writes that shared a sync: an entry holds all writes its group had waiting.</summary>
    public double? WritesPerSync => Syncs is > 0 ? Commands / Syncs : null;

    public static ServerUse Between(ServerSample before, ServerSample after) => new(
        after.CpuSeconds - before.CpuSeconds, after.WalEntries - before.WalEntries, after.WalSyncs - before.WalSyncs,
        after.CommandsApplied - before.CommandsApplied);
}

/// <summary>Looks at all servers of a cluster from outside: their processes in /proc, their counters at /metrics.</summary>
internal sealed class ServerProbe(ClusterFile cluster, ServerProcesses processes) : IDisposable
{
    private const string EntriesName = "kvstore_wal_entries_total";
    private const string SyncsName = "kvstore_wal_syncs_total";
    private const string CommandsName = "kvstore_raft_commands_applied_total";
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(2);

    private readonly HttpClient _http = new() { Timeout = Timeout };

    public async Task<ServerSample> SampleAsync(CancellationToken cancellation)
    {
        // Processes first: asking for the counters costs them a little.
        var use = processes.Read(cluster.Nodes.Select(node => node.Name));
        var counters = await CountersAsync(cancellation);
        return new ServerSample(
            use?.CpuSeconds, use?.ResidentBytes, counters?.Find(EntriesName), counters?.Find(SyncsName), counters?.Find(CommandsName));
    }

    /// <summary>Summed over all nodes; null when one does not answer, for half of the counters would be a wrong sum.</summary>
    public async Task<ServerCounters?> CountersAsync(CancellationToken cancellation)
    {
        var counters = new ServerCounters();
        foreach (var node in cluster.Nodes)
        {
            try
            {
                counters.Add(await _http.GetStringAsync(new Uri(node.Http, "/metrics"), cancellation));
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !cancellation.IsCancellationRequested)
            {
                return null;
            }
        }

        return counters;
    }

    /// <summary>True when GET /health/ready answers 200.</summary>
    public async Task<bool> IsReadyAsync(NodeAddress node, CancellationToken cancellation)
    {
        try
        {
            using var response = await _http.GetAsync(new Uri(node.Http, "/health/ready"), cancellation);
            return response.IsSuccessStatusCode;
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !cancellation.IsCancellationRequested)
        {
            return false;
        }
    }

    /// <summary>True when anything answers at the address, whatever it says.</summary>
    public async Task<bool> IsListeningAsync(NodeAddress node, CancellationToken cancellation)
    {
        try
        {
            using var response = await _http.GetAsync(new Uri(node.Http, "/health/live"), cancellation);
            return true;
        }
        catch (HttpRequestException e) when (e.HttpRequestError == HttpRequestError.ConnectionError)
        {
            return false;
        }
    }

    public async Task RequireReadyAsync(CancellationToken cancellation)
    {
        foreach (var node in cluster.Nodes)
        {
            if (!await IsReadyAsync(node, cancellation))
            {
                throw new ServersException($"{node.Name} at {node.Http} is not ready; start the cluster with scripts/cluster.sh up");
            }
        }
    }

    public void Dispose() => _http.Dispose();
}

/// <summary>The servers are not what the run needs: no figures, no verdict.</summary>
internal sealed class ServersException(string message) : Exception(message);
