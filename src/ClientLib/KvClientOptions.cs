using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>How replicas that may answer a read are chosen among those that are well.</summary>
public enum KvBalancing
{
    /// <summary>Two are drawn, the one with less in flight and the quicker answers is asked. A slow node gets little.</summary>
    LeastLoaded,

    /// <summary>One after the other.</summary>
    RoundRobin,

    /// <summary>One after the other, by <see cref="KvClientOptions.Weights"/>.</summary>
    WeightedRoundRobin,
}

/// <summary>Everything that can be said about a client. Read once, when the client is made.</summary>
public sealed partial class KvClientOptions
{
    /// <summary>
    /// Where to ask for the cluster first; the rest of the nodes is found. <c>host:port</c> of either door, <c>http://host:port</c>, or
    /// <c>kv://host:port</c> of the binary one.
    /// </summary>
    public IList<string> Endpoints { get; } = [];

    /// <summary>Nodes of another cluster are refused. Null: that of the first node that answers, from then on.</summary>
    public string? ClusterId { get; set; }

    /// <summary>Level of reads that name none.</summary>
    public Read DefaultRead { get; set; } = Read.Strong;

    /// <summary>For all attempts of a call together. 1 ms to 60 s.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>For one dial and its handshake.</summary>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>Attempts, pauses between them, and the budget for all of them.</summary>
    public KvRetryOptions Retry { get; } = new();

    /// <summary>Replicas of this zone are preferred where any replica will do.</summary>
    public string? Zone { get; set; }

    public KvBalancing Balancing { get; set; }

    /// <summary>Shares of <see cref="KvBalancing.WeightedRoundRobin"/> by the name of the node; 1 for who is not named.</summary>
    public IDictionary<string, int> Weights { get; } = new Dictionary<string, int>(StringComparer.Ordinal);

    /// <summary>Written before every key of this client.</summary>
    public string KeyPrefix { get; set; } = "";

    /// <summary>Shown in the nodes' logs.</summary>
    public string ClientName { get; set; } = "kvstore-client";

    /// <summary>Writes and strong reads go to the leader where it is known, instead of to any replica.</summary>
    public bool LeaderAware { get; set; } = true;

    /// <summary>Items of one <see cref="IKvStore.BatchAsync"/> that are on their way at once.</summary>
    public int MaxBatchParallelism { get; set; } = 64;

    /// <summary>Serializers of values that bring none of their own. System.Text.Json with its web defaults.</summary>
    public KvSerializerProvider Serializers { get; set; } = KvSerializerProvider.Json;

    public TimeProvider Time { get; set; } = TimeProvider.System;

    /// <summary>Reads a connection string, or a bare list of endpoints: see docs/client.md.</summary>
    /// <exception cref="ArgumentException">A word that means nothing, with the nearest one that does, or a value that is none.</exception>
    public static KvClientOptions Parse(string connectionString) => ConnectionString.Parse(connectionString);

    /// <summary>What a connection string says, over what has been said so far.</summary>
    /// <exception cref="ArgumentException">As of <see cref="Parse"/>; whether the whole is possible is not looked at.</exception>
    internal void Apply(string connectionString) => ConnectionString.Apply(this, connectionString);

    /// <summary>One word of a connection string.</summary>
    /// <exception cref="ArgumentException">It means nothing, or the value is none.</exception>
    internal void Apply(string word, string value) => ConnectionString.Set(this, word, value);

    internal void Validate()
    {
        if (Endpoints.Count == 0)
        {
            throw new ArgumentException("A client needs at least one endpoint, such as localhost:7101.");
        }

        if (Timeout < TimeSpan.FromMilliseconds(1) || Timeout.TotalMilliseconds > Limits.MaxTimeoutMs)
        {
            throw new ArgumentException($"The timeout must be 1 ms to {Limits.MaxTimeoutMs} ms; it is {Timeout.TotalMilliseconds} ms.");
        }

        if (MaxBatchParallelism < 1)
        {
            throw new ArgumentException($"MaxBatchParallelism must be at least 1; it is {MaxBatchParallelism}.");
        }

        foreach (string endpoint in Endpoints)
        {
            _ = KvEndpoint.Parse(endpoint);
        }
    }
}

/// <summary>Retries. They are safe: a read changes nothing, and a write goes under one id however often it is sent.</summary>
public sealed class KvRetryOptions
{
    /// <summary>Sendings of one call, the first included.</summary>
    public int MaxAttempts { get; set; } = 50;

    /// <summary>Upper end of the first random pause; it doubles with each.</summary>
    public TimeSpan BaseDelay { get; set; } = TimeSpan.FromMilliseconds(25);

    public TimeSpan MaxDelay { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Retries per call, over time: what a struggling cluster is asked beyond its load.</summary>
    public double BudgetRatio { get; set; } = 0.2;

    /// <summary>Retries that may be saved up: a node that dies takes the requests of all callers with it at once.</summary>
    public int BudgetReserve { get; set; } = 5000;

    /// <summary>An attempt without an answer for so long is given up and made elsewhere, under the same id.</summary>
    public TimeSpan AttemptTimeout { get; set; } = TimeSpan.FromMilliseconds(1500);
}
