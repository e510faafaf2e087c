using System.Collections;
using System.Globalization;
using System.Text;
using KvStore.Protocol;
using Serilog.Events;

namespace KvStore.Node.Config;

/// <summary>A scalar as it takes effect, and who said so.</summary>
public sealed record EffectiveValue(string Path, string Value, string Source);

/// <summary>
/// The whole configuration: defaults, then the file, then the environment (KVSTORE__Raft__ElectionTimeoutMs), then the command
/// line (--Raft:ElectionTimeoutMs 800); the later one wins. Every value remembers where it came from.
/// </summary>
public sealed record Configuration(ClusterConfig Cluster, IReadOnlyList<EffectiveValue> Values, string File)
{
    public const string EnvironmentPrefix = "KVSTORE__";

    /// <summary>Share of the available memory that the nodes of a process plan with when limits.memoryBytes is 0.</summary>
    private const double MemoryShare = 0.6;

    /// <summary>With less a node would refuse nearly everything.</summary>
    private const long MinMemoryBytes = 32_000_000;

    /// <param name="file">Path of cluster.json.</param>
    /// <param name="environment">Names and values, of which only those with the prefix matter.</param>
    /// <param name="overrides">From the command line: setting paths with ':' between levels, in any case.</param>
    /// <param name="onlyNode">The one node that this process runs; null when it runs all of them, which share its memory.</param>
    public static Configuration Load(
        string file, IDictionary environment, IReadOnlyList<KeyValuePair<string, string>> overrides, string? onlyNode = null)
    {
        var parsed = ClusterFile.Read(file);
        var values = SettingTable.All
            .Where(setting => setting.Default is not null)
            .ToDictionary(setting => setting.Path, setting => new EffectiveValue(setting.Path, setting.Default!, "default"));
        foreach (var (path, value) in parsed.Values)
        {
            values[path] = new EffectiveValue(path, value, file);
        }

        ClusterSecret? secret = null;
        foreach (var name in environment.Keys.Cast<string>().Order(StringComparer.Ordinal))
        {
            if (name.Equals(SecretFile.Variable, StringComparison.OrdinalIgnoreCase))
            {
                // No setting like the others: it is not shown, and has no place in a file that others read or in a list of processes.
                secret = SecretFile.Parse(Encoding.UTF8.GetBytes((string)environment[name]!), $"environment variable {name}");
            }
            else if (name.StartsWith(EnvironmentPrefix, StringComparison.OrdinalIgnoreCase))
            {
                var path = name[EnvironmentPrefix.Length..].Replace("__", ".", StringComparison.Ordinal);
                Override(path, (string)environment[name]!, $"environment variable {name}");
            }
        }

        foreach (var (path, value) in overrides)
        {
            Override(path.Replace(':', '.'), value, $"command line --{path}");
        }

        if (SettingTable.All.FirstOrDefault(setting => !values.ContainsKey(setting.Path)) is { } missing)
        {
            throw new ConfigurationException($"{file}: {missing.Path} is missing; add it ({missing.Description})");
        }

        var cluster = Build(path => values[path].Value, parsed.Nodes, nodesHere: onlyNode is null ? Math.Max(1, parsed.Nodes.Count) : 1);
        if (values[SecretFile.Setting].Value is { Length: > 0 } secretFile)
        {
            secret = secret is null
                ? SecretFile.Read(Path.Combine(Path.GetDirectoryName(Path.GetFullPath(file))!, secretFile))
                : throw new ConfigurationException($"both {SecretFile.Variable} and {SecretFile.Setting} are given; keep one of them");
        }

        cluster = cluster with { Security = cluster.Security with { ClusterSecret = secret } };
        Check(cluster, file);
        return new Configuration(cluster, [.. SettingTable.All.Select(setting => values[setting.Path])], file);

        void Override(string path, string value, string source)
        {
            if (SettingTable.Find(path) is not { } setting)
            {
                throw new ConfigurationException(UnknownSetting(path, source));
            }

            var plain = setting.Canonical(setting.Kind is SettingKind.Flag or SettingKind.Choice ? value.ToLowerInvariant() : value);
            if (setting.Reject(plain) is { } wanted)
            {
                throw new ConfigurationException($"{source} is \"{value}\"; {setting.Path} must be {wanted}");
            }

            values[setting.Path] = new EffectiveValue(setting.Path, plain, source);
        }
    }

    /// <summary>What --print-config shows.</summary>
    public string Describe()
    {
        var text = new StringBuilder();
        var width = Values.Max(value => value.Path.Length);
        var valueWidth = Values.Max(value => value.Value.Length);
        foreach (var value in Values)
        {
            var meaning = value switch
            {
                { Path: "limits.memoryBytes", Value: "0" } => $"; means {Cluster.Limits.MemoryBytes} now",
                { Path: "doors.connections", Value: "0" } => $"; means {Cluster.Doors.Connections} now",
                { Path: "doors.connectionsPerAddress", Value: "0" } => $"; means {Cluster.Doors.ConnectionsPerAddress} now",
                _ => string.Empty,
            };
            text.AppendLine($"{value.Path.PadRight(width)} = {value.Value.PadRight(valueWidth)}  ({value.Source}{meaning})");
        }

        foreach (var node in Cluster.Nodes)
        {
            text.Append($"{("nodes." + node.Id).PadRight(width)} = http {node.Http}, peer {node.Peer}, binary {node.Binary}, ");
            text.AppendLine($"zone {node.Zone}, weight {node.Weight}  ({File})");
        }

        return text.ToString();
    }

    private static string UnknownSetting(string path, string source)
    {
        if (path.Equals("nodes", StringComparison.OrdinalIgnoreCase) || path.StartsWith("nodes.", StringComparison.OrdinalIgnoreCase))
        {
            return $"{source}: nodes are read from the file only; edit cluster.json";
        }

        var nearest = Names.Nearest(path, SettingTable.All.Select(setting => setting.Path));
        return $"{source} names no setting; " + (nearest is null ? "--print-config lists them all" : $"did you mean {nearest}?");
    }

    private static ClusterConfig Build(Func<string, string> value, IReadOnlyList<NodeConfig> nodes, int nodesHere)
    {
        var memory = long.Parse(value("limits.memoryBytes"), CultureInfo.InvariantCulture);
        return new ClusterConfig
        {
            ClusterId = value("clusterId"),
            ReplicationFactor = Int("replicationFactor"),
            VirtualNodes = Int("virtualNodes"),
            Groups = Int("groups"),
            Nodes = [.. nodes.OrderBy(node => node.Id, StringComparer.Ordinal)],
            Raft = new RaftSettings
            {
                TickMs = Int("raft.tickMs"),
                HeartbeatMs = Int("raft.heartbeatMs"),
                ElectionTimeoutMs = Int("raft.electionTimeoutMs"),
            },
            Reads = new ReadSettings
            {
                Default = Enum.Parse<ReadLevel>(value("reads.default"), ignoreCase: true),
                MaxStalenessMs = Int("reads.maxStalenessMs"),
                Lease = value("reads.lease") == "true",
            },
            Limits = new LimitSettings
            {
                KeyBytes = Int("limits.keyBytes"),
                ValueBytes = Int("limits.valueBytes"),
                RequestBytes = Int("limits.requestBytes"),
                MemoryBytes = memory != 0 ? memory : Math.Max(MinMemoryBytes, (long)(AvailableMemory.Bytes * MemoryShare) / nodesHere),
            },
            Doors = Doors(),
            Upgrade = new UpgradeSettings { MaxLevel = (ushort)Int("upgrade.maxLevel") },
            Clocks = new ClockSettings { AcceptSkew = value("clocks.acceptSkew") == "true" },
            Security = new SecuritySettings { Insecure = value("security.insecure") == "true" },
            Log = new LogSettings
            {
                Level = Enum.Parse<LogEventLevel>(value("log.level"), ignoreCase: true),
                Format = Enum.Parse<LogFormat>(value("log.format"), ignoreCase: true),
            },
        };

        int Int(string path) => int.Parse(value(path), CultureInfo.InvariantCulture);

        DoorSettings Doors()
        {
            var connections = Int("doors.connections");
            var doors = DoorSettings.Within(
                DescriptorLimit.Value, nodesHere, nodes.Count, connections, Int("doors.connectionsPerAddress"))
                ?? throw new ConfigurationException(
                    $"this process may have {DescriptorLimit.Value} files and connections open, too few for {nodesHere} node(s)"
                    + (connections == 0 ? "" : $" with doors.connections {connections} each")
                    + $"; give it {DoorSettings.DescriptorsNeeded(nodesHere, nodes.Count, connections)} (ulimit -n)");
            return doors with { HelloMs = Int("doors.helloMs"), IdleSeconds = Int("doors.idleSeconds") };
        }
    }

    // Rules that need more than one value.
    private static void Check(ClusterConfig cluster, string file)
    {
        Require(cluster.ReplicationFactor <= cluster.Nodes.Count,
            $"replicationFactor is {cluster.ReplicationFactor} but nodes lists {cluster.Nodes.Count}; add nodes or lower the factor");
        Require(cluster.Groups <= cluster.VirtualNodes,
            $"groups is {cluster.Groups} but virtualNodes is {cluster.VirtualNodes}; every group needs a virtual node of its own");
        var raft = cluster.Raft;
        Require(raft.HeartbeatMs % raft.TickMs == 0 && raft.ElectionTimeoutMs % raft.TickMs == 0,
            $"raft.heartbeatMs ({raft.HeartbeatMs}) and raft.electionTimeoutMs ({raft.ElectionTimeoutMs}) "
            + $"must be multiples of raft.tickMs ({raft.TickMs})");
        Require(raft.ElectionTimeoutMs >= 4 * raft.HeartbeatMs,
            $"raft.electionTimeoutMs ({raft.ElectionTimeoutMs}) must be at least four times raft.heartbeatMs ({raft.HeartbeatMs}): "
            + "one late heartbeat is not a dead leader");
        Require(cluster.Limits.MemoryBytes >= MinMemoryBytes,
            $"limits.memoryBytes ({cluster.Limits.MemoryBytes}) is too little for a node; give it at least {MinMemoryBytes}, "
            + "or 0 for a share of what there is");
        Require(!cluster.Reads.Lease, "reads.lease is not available yet; remove it or set it to false");
        Require(cluster.Limits.RequestBytes >= cluster.Limits.ValueBytes + cluster.Limits.KeyBytes,
            $"limits.requestBytes ({cluster.Limits.RequestBytes}) is less than limits.keyBytes + limits.valueBytes; raise it");
        var open = cluster.Nodes.SelectMany(node => node.Addresses).FirstOrDefault(address => !address.ListensOnLoopback);
        Require(open is null || cluster.Security.Insecure,
            $"{open?.Listened} can be reached by other machines and nothing authenticates them yet; "
            + "use a loopback address or set security.insecure to true");

        void Require(bool holds, string message)
        {
            if (!holds)
            {
                throw new ConfigurationException($"{file}: {message}");
            }
        }
    }
}
