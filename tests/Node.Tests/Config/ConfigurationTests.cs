using System.Collections;
using KvStore.Node.Config;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Config;

public sealed class ConfigurationTests : IDisposable
{
    private const string Node1 = """{ "id": "n1", "http": "127.0.0.1:7101", "peer": "127.0.0.1:7201", "binary": "127.0.0.1:7301" }""";
    private const string Node2 = """{ "id": "n2", "http": "127.0.0.1:7102", "peer": "127.0.0.1:7202", "binary": "127.0.0.1:7302" }""";
    private const string Minimal = $$"""{ "clusterId": "local", "replicationFactor": 1, "nodes": [ {{Node1}} ] }""";

    private readonly string _file = Path.GetTempFileName();

    public void Dispose() => File.Delete(_file);

    [Fact]
    public void What_nobody_mentions_has_its_default()
    {
        var cluster = Load(Minimal).Cluster;
        Assert.Equal(1024, cluster.VirtualNodes);
        Assert.Equal(64, cluster.Groups);
        Assert.Equal(new RaftSettings(), cluster.Raft);
        Assert.Equal(ReadLevel.Strong, cluster.Reads.Default);
        Assert.Equal(Limits.MaxKeyBytes, cluster.Limits.KeyBytes);
        Assert.Equal("default", cluster.Nodes[0].Zone);
        Assert.Equal(1, cluster.Nodes[0].Weight);
    }

    [Fact]
    public void Records_and_table_agree_on_every_default()
    {
        // The defaults are written twice: in the table for people, in the records for code that builds a configuration by hand.
        var node3 = Node2.Replace("n2", "n3").Replace("02\"", "03\"");
        var parsed = Load($$"""{ "clusterId": "local", "nodes": [ {{Node1}}, {{Node2}}, {{node3}} ] }""").Cluster;
        var built = new ClusterConfig { ClusterId = "local", Nodes = [] };
        Assert.Equal(
            built with
            {
                Nodes = parsed.Nodes,
                Limits = built.Limits with { MemoryBytes = parsed.Limits.MemoryBytes },
                Doors = parsed.Doors with { HelloMs = built.Doors.HelloMs, IdleSeconds = built.Doors.IdleSeconds }, // the rest is what there is room for
            },
            parsed);
    }

    [Fact]
    public void The_example_of_the_repository_is_valid()
    {
        var cluster = Configuration.Load(Path.Combine(Repository.Root, "cluster.json"), new Hashtable(), []).Cluster;
        Assert.Equal(["n1", "n2", "n3"], cluster.Nodes.Select(node => node.Id));
    }

    [Fact]
    public void Nodes_are_numbered_by_sorted_id_whatever_the_order_of_the_file()
    {
        var cluster = Load($$"""{ "clusterId": "local", "replicationFactor": 1, "nodes": [ {{Node2}}, {{Node1}} ] }""").Cluster;
        Assert.Equal(new NodeId(1), cluster.NumberOf("n1"));
        Assert.Equal(new NodeId(2), cluster.NumberOf("n2"));
        Assert.Equal("n2", cluster.Node(new NodeId(2)).Id);
    }

    [Fact]
    public void The_command_line_wins_over_the_environment_which_wins_over_the_file()
    {
        var json = Minimal.Replace(
            "\"nodes\"", "\"raft\": { \"tickMs\": 10, \"heartbeatMs\": 110, \"electionTimeoutMs\": 1110 }, \"nodes\"");
        var configuration = Load(
            json,
            new Hashtable { ["KVSTORE__RAFT__HEARTBEATMS"] = "120", ["KVSTORE__Raft__ElectionTimeoutMs"] = "1120", ["PATH"] = "/bin" },
            [new("Raft:ElectionTimeoutMs", "1130")]);

        Assert.Equal(new RaftSettings { TickMs = 10, HeartbeatMs = 120, ElectionTimeoutMs = 1130 }, configuration.Cluster.Raft);
        Assert.Equal(_file, SourceOf("raft.tickMs"));
        Assert.Equal("environment variable KVSTORE__RAFT__HEARTBEATMS", SourceOf("raft.heartbeatMs"));
        Assert.Equal("command line --Raft:ElectionTimeoutMs", SourceOf("raft.electionTimeoutMs"));
        Assert.Equal("default", SourceOf("groups"));

        string SourceOf(string path) => configuration.Values.Single(value => value.Path == path).Source;
    }

    [Fact]
    public void The_description_shows_every_setting_with_its_source()
    {
        var text = Load(Minimal).Describe();
        Assert.All(SettingTable.All, setting => Assert.Contains($"\n{setting.Path} ", "\n" + text));
        Assert.Contains("(default", text);
        Assert.Contains("nodes.n1", text);
        Assert.Contains("means ", text); // what memoryBytes 0 stands for
    }

    [Fact]
    public void Memory_0_means_sixty_percent_of_what_is_available()
    {
        var available = AvailableMemory.Bytes;
        Assert.InRange(Load(Minimal).Cluster.Limits.MemoryBytes, available * 0.55, available * 0.65);
        Assert.Equal(1 << 30, Load(Minimal, [], [new("Limits:MemoryBytes", "1073741824")]).Cluster.Limits.MemoryBytes);
    }

    [Fact]
    public void B3_nodes_of_one_process_share_its_memory_and_a_node_alone_has_it()
    {
        File.WriteAllText(_file, Minimal.Replace("} ]", $"}}, {Node2} ]"));
        var both = Configuration.Load(_file, new Hashtable(), []).Cluster.Limits.MemoryBytes;
        var alone = Configuration.Load(_file, new Hashtable(), [], "n1").Cluster.Limits.MemoryBytes;
        Assert.InRange(both, alone / 2 - 1, alone / 2 + 1);
    }

    [Theory]
    [InlineData("0::/a/b", "/sys/fs/cgroup/a/memory.max", 268435456)]
    [InlineData("0::/a/b", "/sys/fs/cgroup/memory.max", 268435456)]
    [InlineData("0::/", "/sys/fs/cgroup/memory.max", 268435456)]
    [InlineData("5:cpu,memory:/a", "/sys/fs/cgroup/memory/a/memory.limit_in_bytes", 268435456)]
    [InlineData("5:cpu:/a", "/sys/fs/cgroup/memory/a/memory.limit_in_bytes", long.MaxValue)]
    public void B3_the_smallest_limit_of_a_control_group_counts(string membership, string file, long expected) =>
        Assert.Equal(expected, AvailableMemory.OfControlGroups([membership], path => path == file ? 268435456 : null));

    [Theory]
    [InlineData("\"replicationFactor\": 1", "\"replicationfactor\": 1", "replicationfactor is not a known", "mean \"replicationFactor\"")]
    [InlineData("\"replicationFactor\": 1", "\"xyzzy\": 1", "xyzzy is not a known key", "known here: clusterId")]
    [InlineData("\"id\"", "\"name\": \"x\", \"id\"", "nodes[0].name is not a known key", "")]
    [InlineData("\"nodes\"", "\"raft\": { \"electionTimeout\": 5 }, \"nodes\"", "raft.electionTimeout is not", "\"electionTimeoutMs\"")]
    [InlineData("\"nodes\"", "\"replicationFactor\": 1, \"nodes\"", "replicationFactor is given twice", "keep one")]
    [InlineData("\"clusterId\": \"local\", ", "", "clusterId is missing", "add it")]
    [InlineData("\"clusterId\": \"local\"", "\"clusterId\": \"../up\"", "clusterId is \"../up\"", "letters, digits")]
    [InlineData("\"clusterId\": \"local\"", "\"clusterId\": 5", "clusterId is 5", "letters, digits")]
    [InlineData("\"replicationFactor\": 1", "\"replicationFactor\": 2", "replicationFactor is 2", "one of 1, 3, 5")]
    [InlineData("\"replicationFactor\": 1", "\"replicationFactor\": 3", "replicationFactor is 3 but nodes lists 1", "add nodes")]
    [InlineData("\"replicationFactor\": 1", "\"replicationFactor\": \"1\"", "replicationFactor is \"1\"", "one of 1, 3, 5")]
    [InlineData("\"replicationFactor\": 1", "\"replicationFactor\": 1.0", "replicationFactor is 1.0", "one of 1, 3, 5")]
    [InlineData("\"nodes\"", "\"virtualNodes\": 1000, \"nodes\"", "virtualNodes is 1000", "a power of two from 1 to 16384")]
    [InlineData("\"nodes\"", "\"virtualNodes\": 32768, \"nodes\"", "virtualNodes is 32768", "a power of two from 1 to 16384")]
    [InlineData("\"nodes\"", "\"virtualNodes\": 16, \"groups\": 32, \"nodes\"", "groups is 32 but virtualNodes is 16", "of its own")]
    [InlineData("\"nodes\"", "\"raft\": { \"tickMs\": 0 }, \"nodes\"", "raft.tickMs is 0", "from 5 to 1000")]
    [InlineData("\"nodes\"", "\"raft\": { \"heartbeatMs\": 120 }, \"nodes\"", "must be multiples of raft.tickMs", "")]
    [InlineData("\"nodes\"", "\"raft\": { \"electionTimeoutMs\": 200 }, \"nodes\"", "at least four times raft.heartbeatMs", "")]
    [InlineData("\"nodes\"", "\"reads\": { \"default\": \"quick\" }, \"nodes\"", "reads.default is \"quick\"", "one of strong, bounded")]
    [InlineData("\"nodes\"", "\"reads\": { \"lease\": true }, \"nodes\"", "reads.lease is not available yet", "false")]
    [InlineData("\"nodes\"", "\"limits\": { \"valueBytes\": 1048577 }, \"nodes\"", "limits.valueBytes is 1048577", "from 1 to 1048576")]
    [InlineData("\"nodes\"", "\"limits\": { \"requestBytes\": 4096 }, \"nodes\"", "limits.requestBytes (4096) is less", "raise it")]
    [InlineData("\"nodes\"", "\"security\": [], \"nodes\"", "security is not an object", "")]
    [InlineData("\"id\": \"n1\"", "\"id\": \".run\"", "nodes[0].id is \".run\"", "letters, digits")]
    [InlineData("\"id\": \"n1\", ", "", "nodes[0].id is missing", "")]
    [InlineData("\"id\": \"n1\"", "\"id\": \"n1\", \"weight\": 0", "nodes[0].weight is 0", "from 1 to 100")]
    [InlineData("127.0.0.1:7101", "127.0.0.1", "nodes[0].http is \"127.0.0.1\"", "a host name and a port")]
    [InlineData("127.0.0.1:7101", "local_host:7101", "nodes[0].http is \"local_host:7101\"", "a host name and a port")]
    [InlineData("127.0.0.1:7101", "127.0.0.1:70000", "nodes[0].http is \"127.0.0.1:70000\"", "a host name and a port")]
    [InlineData("127.0.0.1:7101", "127.0.0.1:7201", "the address 127.0.0.1:7201 more than once", "its own port")]
    [InlineData("127.0.0.1:7101", "10.0.0.1:7101", "10.0.0.1:7101 can be reached", "security.insecure")]
    [InlineData(Node1, "", "nodes is missing", "at least one")]
    [InlineData("}", "", "is not valid JSON", "")]
    public void A_mistake_is_an_error_with_path_and_remedy(string right, string wrong, string cause, string remedy)
    {
        Assert.Contains(right, Minimal);
        var error = Assert.Throws<ConfigurationException>(() => Load(Minimal.Replace(right, wrong)));
        Assert.Contains(cause, error.Message);
        Assert.Contains(remedy, error.Message);
        Assert.Contains(_file, error.Message);
    }

    [Fact]
    public void F2_a_byte_order_mark_and_a_comma_too_many_are_read()
    {
        var configuration = Load("\uFEFF" + Minimal.Insert(Minimal.LastIndexOf('}'), ","));
        Assert.Equal(Load(Minimal).Describe(), configuration.Describe());
    }

    [Theory]
    [InlineData("", "line 1, column 1: the file is empty")]
    [InlineData("{ \"clusterId\": \"ü\", x", "line 1, column 21: 'x' cannot stand here")]
    [InlineData("{\n  \"clusterId\": \"a\"\n  \"groups\": 4\n}", "line 3, column 3: '\"' cannot stand here; is a comma")]
    [InlineData("{\n  \"clusterId\": \"a\",\n  \"nodes\": [ {", "line 3, column 15: the file ends before")]
    public void F2_what_is_no_JSON_is_told_as_an_editor_shows_it(string json, string message)
    {
        var error = Assert.Throws<ConfigurationException>(() => Load(json));
        Assert.Contains(message, error.Message);
        Assert.DoesNotContain("LineNumber", error.Message);
        Assert.DoesNotContain("reader", error.Message);
    }

    [Theory]
    [InlineData("info", "Information")]
    [InlineData("warn", "Warning")]
    [InlineData("trace", "Verbose")]
    public void F2_levels_have_the_names_that_other_programs_give_them(string word, string level)
    {
        var inFile = Load(Minimal.Replace("\"nodes\"", $"\"log\": {{ \"level\": \"{word}\" }}, \"nodes\""));
        Assert.Equal(level, $"{inFile.Cluster.Log.Level}");
        Assert.Equal(level, $"{Load(Minimal, [], [new("Log:Level", word.ToUpperInvariant())]).Cluster.Log.Level}");
    }

    [Theory]
    [InlineData("Raft:TickMs", "fast", "raft.tickMs must be a whole number")]
    [InlineData("Raft:TikMs", "50", "did you mean raft.tickMs")]
    [InlineData("Nodes:0:Http", "127.0.0.1:1", "nodes are read from the file only")]
    [InlineData("Reads:Lease", "maybe", "true or false")]
    public void A_wrong_override_is_an_error_that_names_it(string path, string value, string message)
    {
        var fromCommandLine = Assert.Throws<ConfigurationException>(() => Load(Minimal, [], [new(path, value)]));
        Assert.Contains(message, fromCommandLine.Message);
        Assert.Contains("--" + path, fromCommandLine.Message);

        var name = "KVSTORE__" + path.Replace(":", "__");
        var fromEnvironment = Assert.Throws<ConfigurationException>(() => Load(Minimal, new Hashtable { [name] = value }));
        Assert.Contains(message, fromEnvironment.Message);
        Assert.Contains(name, fromEnvironment.Message);
    }

    [Fact]
    public void The_word_insecure_allows_an_address_others_can_reach()
    {
        var open = Minimal.Replace("127.0.0.1:7101", "10.0.0.1:7101");
        Assert.Equal("10.0.0.1:7101", $"{Load(open, [], [new("security:insecure", "True")]).Cluster.Nodes[0].Http}");
    }

    private Configuration Load(string json, Hashtable? environment = null, IReadOnlyList<KeyValuePair<string, string>>? overrides = null)
    {
        File.WriteAllText(_file, json);
        return Configuration.Load(_file, environment ?? [], overrides ?? []);
    }
}
