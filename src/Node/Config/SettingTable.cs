using static KvStore.Node.Config.SettingKind;

namespace KvStore.Node.Config;

/// <summary>
/// Every scalar of the configuration, once. The file reader, the environment, the command line, --print-config and the test
/// that compares docs/cluster.schema.json all go through this table; only "nodes" is read by itself.
/// </summary>
public static class SettingTable
{
    public static readonly IReadOnlyList<Setting> All =
    [
        new("clusterId", Text, null, "Name of the cluster; nodes of another cluster are refused."),
        new("replicationFactor", Number, "3", "Replicas of each group.") { Min = 1, Max = 5, Choices = ["1", "3", "5"] },
        new("virtualNodes", Number, "1024", "Equal arcs of the ring of 16,384 slots.")
            { Min = 1, Max = Protocol.Limits.SlotCount, PowerOfTwo = true },
        new("groups", Number, "64", "Raft groups; at most virtualNodes.") { Min = 1, Max = Protocol.Limits.SlotCount, PowerOfTwo = true },

        new("raft.tickMs", Number, "50", "Length of a tick of the Raft clock.") { Min = 5, Max = 1000 },
        new("raft.heartbeatMs", Number, "100", "Time between heartbeats of a leader; a multiple of tickMs.") { Min = 5, Max = 10_000 },
        new("raft.electionTimeoutMs", Number, "1000", "Silence after which a follower campaigns (up to twice of it); a multiple of tickMs.")
            { Min = 50, Max = 100_000 },

        new("reads.default", Choice, "strong", "Level of a read that names none.")
            { Choices = ["strong", "bounded", "session", "eventual"] },
        new("reads.maxStalenessMs", Number, "5000", "Bound of a bounded read that names none.") { Min = 1, Max = 3_600_000 },
        new("reads.lease", Flag, "false", "Strong reads from a leader lease; not available yet."),

        new("limits.keyBytes", Number, "2048", "Longest key.") { Min = 1, Max = Protocol.Limits.MaxKeyBytes },
        new("limits.valueBytes", Number, "1048576", "Longest value.") { Min = 1, Max = Protocol.Limits.MaxValueBytes },
        new("limits.requestBytes", Number, "4194304", "Longest request.") { Min = 4096, Max = Protocol.Limits.MaxRequestBytes },
        new("limits.memoryBytes", Number, "0", "Memory a node plans with: near it writes that grow are refused. 0 is 60 % of what the process may take (machine, control groups), shared by the nodes it runs.") { Min = 0 },

        new("doors.connections", Number, "0", "Connections of clients to the REST port, and as many to the binary port. 0 is what the process may have open (ulimit -n) without what it needs itself, shared by the nodes it runs; 8,192 at most.") { Min = 0, Max = 1_000_000 },
        new("doors.connectionsPerAddress", Number, "0", "Of these, connections from one address, or one IPv6 network of 64 bits. 0 is half of them.") { Min = 0, Max = 1_000_000 },
        new("doors.helloMs", Number, "5000", "Milliseconds from a connection to its complete hello, on the binary and the peer port; later it is closed.") { Min = 100, Max = 60_000 },
        new("doors.idleSeconds", Number, "300", "Seconds without a request after which a connection of a client is closed.") { Min = 1, Max = 86_400 },

        new("upgrade.maxLevel", Number, $"{Protocol.FeatureLevel.Max}",
            "Highest feature level this node says it knows; while one node of a group is held below, the build before can have every folder back.")
            { Min = Protocol.FeatureLevel.First, Max = Protocol.FeatureLevel.Max },

        new("clocks.acceptSkew", Flag, "false", "Let a new cluster begin although its nodes' wall clocks are more than a minute apart."),

        new("security.insecure", Flag, "false", "Listen on addresses other machines can reach although nothing authenticates them yet."),

        new("security.clusterSecretFile", FilePath, "",
            "File with the secret that nodes prove to each other, 16 to 1,024 bytes, relative to this file; empty: the environment variable KVSTORE__Security__ClusterSecret, or the file cluster-secret in the data folder if there is one."),

        new("log.level", Choice, "information", "Least important log lines shown.")
        {
            Choices = ["verbose", "debug", "information", "warning", "error", "fatal"],
            Synonyms = new Dictionary<string, string>
            {
                ["trace"] = "verbose", ["info"] = "information", ["warn"] = "warning", ["err"] = "error", ["critical"] = "fatal",
            },
        },
        new("log.format", Choice, "text", "Log lines for people or one JSON object per line.") { Choices = ["text", "json"] },
    ];

    /// <summary>Keys of a line of "nodes". The first four have to be given.</summary>
    public static readonly IReadOnlyList<string> NodeKeys = ["id", "http", "peer", "binary", "listen", "advertise", "zone", "weight"];

    public const int MaxNodes = 1000;
    public const int MaxWeight = 100;

    /// <summary>Case does not matter here: environment variables are usually shouted.</summary>
    public static Setting? Find(string path) =>
        All.FirstOrDefault(setting => setting.Path.Equals(path, StringComparison.OrdinalIgnoreCase));
}
