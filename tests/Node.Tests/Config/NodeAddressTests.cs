using System.Collections;
using System.Net;
using KvStore.Node.Config;

namespace KvStore.Node.Tests.Config;

/// <summary>What may stand in "http", "peer", "binary", "listen" and "advertise".</summary>
public sealed class NodeAddressTests : IDisposable
{
    private readonly string _file = Path.GetTempFileName();

    public void Dispose() => File.Delete(_file);

    [Theory]
    [InlineData("127.0.0.1:7101", "127.0.0.1:7101")]
    [InlineData("localhost:7101", "localhost:7101")]
    [InlineData("db1.example:7101", "db1.example:7101")]
    [InlineData("n1:0", "n1:0")]
    [InlineData("[::1]:7101", "[::1]:7101")]
    [InlineData("[0:0:0:0:0:0:0:1]:7101", "[::1]:7101")]
    [InlineData("[::ffff:127.0.0.1]:7101", "127.0.0.1:7101")]
    public void F1_addresses_and_names_are_taken(string text, string read)
    {
        Assert.True(NodeAddress.TryParse(text, out NodeAddress? address));
        Assert.Equal(read, $"{address}");
    }

    [Theory]
    [InlineData("127.1:7101")]
    [InlineData("010.0.0.1:7101")]
    [InlineData("10.0.0.01:7101")]
    [InlineData("0x7f.0.0.1:7101")]
    [InlineData("0x7f000001:7101")]
    [InlineData("2130706433:7101")]
    [InlineData("1.2.3.256:7101")]
    [InlineData("1.2.3.4.5:7101")]
    [InlineData("::1:7101")]
    [InlineData("[127.0.0.1]:7101")]
    [InlineData("-n1:7101")]
    [InlineData("n_1:7101")]
    [InlineData("n1..example:7101")]
    [InlineData("http://n1:7101")]
    [InlineData("n1:65536")]
    [InlineData("n1:+7101")]
    [InlineData("n1:")]
    [InlineData("n1")]
    [InlineData(":7101")]
    [InlineData("")]
    public void F1_odd_spellings_are_refused(string text) => Assert.False(NodeAddress.TryParse(text, out _));

    [Fact]
    public void F1_others_are_told_one_host_and_the_node_listens_at_another()
    {
        NodeConfig node = Load("\"listen\": \"0.0.0.0\", \"advertise\": \"db1.example\"").Node("n1");
        Assert.Equal("db1.example:7101", $"{node.Http}");
        Assert.Equal(new DnsEndPoint("db1.example", 7201), node.Peer.ToEndPoint());
        Assert.Equal("0.0.0.0", node.Binary.ListenHost);
        Assert.False(node.Http.ListensOnLoopback);
    }

    [Fact]
    public void F1_an_address_of_all_is_listened_at_when_another_is_told()
    {
        NodeConfig node = Load("\"advertise\": \"10.0.0.7\"", http: "0.0.0.0:7101").Node("n1");
        Assert.Equal(("10.0.0.7:7101", "0.0.0.0"), ($"{node.Http}", node.Http.ListenHost));
        Assert.Equal(("10.0.0.7:7201", "127.0.0.1"), ($"{node.Peer}", node.Peer.ListenHost));
    }

    [Theory]
    [InlineData("0.0.0.0:7101", "")]
    [InlineData("[::]:7101", "")]
    [InlineData("127.0.0.1:7101", "\"advertise\": \"0.0.0.0\"")]
    public void F1_what_nobody_can_dial_is_not_told(string http, string more)
    {
        string message = Assert.Throws<ConfigurationException>(() => Load(more, http)).Message;
        Assert.Contains("nodes[0].http", message);
        Assert.Contains("\"advertise\"", message);
    }

    [Theory]
    [InlineData("\"listen\": \"0.0.0.0:7101\"", "nodes[0].listen")]
    [InlineData("\"listen\": \"127.1\"", "nodes[0].listen")]
    [InlineData("\"advertise\": \"http://db1\"", "nodes[0].advertise")]
    public void F1_a_host_is_named_without_a_port(string more, string path)
    {
        string message = Assert.Throws<ConfigurationException>(() => Load(more)).Message;
        Assert.Contains(path, message);
        Assert.Contains("without a port", message);
    }

    [Theory]
    [InlineData("localhost:7101", "", true)]
    [InlineData("db1.example:7101", "", false)]
    [InlineData("db1.example:7101", "\"listen\": \"127.0.0.1\"", true)]
    [InlineData("127.0.0.1:7101", "\"listen\": \"10.0.0.7\"", false)]
    public void F1_where_the_node_listens_decides_who_can_reach_it(string http, string more, bool loopback) =>
        Assert.Equal(loopback, Load(more, http).Node("n1").Http.ListensOnLoopback);

    [Fact]
    public void F1_two_nodes_that_are_told_as_one_are_refused()
    {
        const string Twice = """
            { "id": "n1", "http": "db:1", "peer": "db:2", "binary": "db:3" }, { "id": "n2", "http": "DB:3", "peer": "db:5", "binary": "db:6" }
            """;
        File.WriteAllText(_file, $$"""{ "clusterId": "c", "replicationFactor": 1, "security": { "insecure": true }, "nodes": [ {{Twice}} ] }""");
        Assert.Contains("more than once", Assert.Throws<ConfigurationException>(() => Configuration.Load(_file, new Hashtable(), [])).Message);
    }

    private ClusterConfig Load(string more, string http = "127.0.0.1:7101")
    {
        string node = $$"""{ "id": "n1", "http": "{{http}}", "peer": "127.0.0.1:7201", "binary": "127.0.0.1:7301"{{(more.Length > 0 ? ", " + more : "")}} }""";
        File.WriteAllText(_file, $$"""{ "clusterId": "c", "replicationFactor": 1, "security": { "insecure": true }, "nodes": [ {{node}} ] }""");
        return Configuration.Load(_file, new Hashtable(), []).Cluster;
    }
}
