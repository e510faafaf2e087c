using System.Net.Http.Json;
using System.Text.Json;
using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Node.Tests.Http;

public sealed class TopologyTests(ScriptedDoor door) : IClassFixture<ScriptedDoor>
{
    [Fact]
    public async Task Locate_shows_the_way_from_key_to_replicas()
    {
        door.Reset();
        JsonElement json = await door.Client.GetFromJsonAsync<JsonElement>("/v1/locate/user%2F17");
        int slot = Slot.Of("user/17"u8);
        Assert.Equal("user/17", json.GetProperty("key").GetString());
        Assert.Equal(slot, json.GetProperty("slot").GetInt32());
        Assert.Equal(slot / 1024, json.GetProperty("virtualNode").GetInt32());
        Assert.Equal(1 + (slot / 4096), json.GetProperty("group").GetInt32());
        Assert.Equal("n2", json.GetProperty("leader").GetString());
        Assert.Equal("http://127.0.0.1:7102", json.GetProperty("leaderUrl").GetString());
        Assert.Equal(
            ["n1", "n2", "n3"], json.GetProperty("replicas").EnumerateArray().Select(replica => replica.GetProperty("node").GetString()));
        Assert.Equal(7, json.GetProperty("epoch").GetInt32());
    }

    [Fact]
    public async Task Locate_follows_the_hash_tag()
    {
        door.Reset();
        JsonElement one = await door.Client.GetFromJsonAsync<JsonElement>("/v1/locate/%7Buser17%7D:name");
        JsonElement two = await door.Client.GetFromJsonAsync<JsonElement>("/v1/locate/%7Buser17%7D:mail");
        Assert.Equal(one.GetProperty("slot").GetInt32(), two.GetProperty("slot").GetInt32());
    }

    [Fact]
    public async Task Locate_without_a_known_leader_says_so()
    {
        door.Reset();
        door.Groups = [.. Enumerable.Range(1, 4).Select(group => ScriptedDoor.Status((uint)group, leader: 0))];
        JsonElement json = await door.Client.GetFromJsonAsync<JsonElement>("/v1/locate/key");
        Assert.Equal(JsonValueKind.Null, json.GetProperty("leader").ValueKind);
    }

    [Fact]
    public async Task The_cluster_lists_its_nodes()
    {
        door.Reset();
        JsonElement json = await door.Client.GetFromJsonAsync<JsonElement>("/v1/cluster");
        Assert.Equal("test", json.GetProperty("clusterId").GetString());
        Assert.Equal("n1", json.GetProperty("node").GetString());
        Assert.Equal(4, json.GetProperty("groups").GetInt32());
        JsonElement second = json.GetProperty("nodes")[1];
        Assert.Equal("n2", second.GetProperty("id").GetString());
        Assert.Equal(2, second.GetProperty("number").GetInt32());
        Assert.Equal("http://127.0.0.1:7102", second.GetProperty("url").GetString());
        Assert.Equal(4, second.GetProperty("replicas").GetInt32());
    }

    [Fact]
    public async Task The_ring_has_every_slot_exactly_once()
    {
        door.Reset();
        JsonElement json = await door.Client.GetFromJsonAsync<JsonElement>("/v1/cluster/ring");
        int next = 0;
        foreach (JsonElement arc in json.GetProperty("arcs").EnumerateArray())
        {
            Assert.Equal(next, arc.GetProperty("firstSlot").GetInt32());
            next = arc.GetProperty("lastSlot").GetInt32() + 1;
        }

        Assert.Equal(Limits.SlotCount, next);
        Assert.Equal(4, json.GetProperty("arcs").GetArrayLength());
    }

    [Theory]
    [InlineData("/v1/cluster")]
    [InlineData("/v1/cluster/nodes")]
    [InlineData("/v1/cluster/ring")]
    public async Task Topology_that_changes_with_the_epoch_has_it_as_ETag(string path)
    {
        door.Reset();
        using HttpResponseMessage first = await door.SendAsync("GET", path);
        Assert.Equal("\"7\"", first.Headers.ETag!.ToString());
        using HttpResponseMessage again = await door.SendAsync("GET", path, ("If-None-Match", "\"7\""));
        Assert.Equal(304, (int)again.StatusCode);
        using HttpResponseMessage older = await door.SendAsync("GET", path, ("If-None-Match", "\"6\""));
        Assert.Equal(200, (int)older.StatusCode);
    }

    [Fact]
    public async Task Groups_show_replicas_and_the_local_one()
    {
        door.Reset();
        door.Groups = [ScriptedDoor.Status(2, leader: 3)];
        JsonElement json = await door.Client.GetFromJsonAsync<JsonElement>("/v1/cluster/groups");
        Assert.Equal(4, json.GetProperty("groups").GetArrayLength());
        JsonElement elsewhere = json.GetProperty("groups")[0];
        Assert.Equal(JsonValueKind.Null, elsewhere.GetProperty("local").ValueKind);
        JsonElement here = json.GetProperty("groups")[1];
        Assert.Equal("n3", here.GetProperty("leader").GetString());
        Assert.Equal("follower", here.GetProperty("local").GetProperty("role").GetString());
        Assert.Equal(100, here.GetProperty("local").GetProperty("applied").GetInt32());
        JsonElement alone = await door.Client.GetFromJsonAsync<JsonElement>("/v1/cluster/groups/2");
        Assert.Equal(here.GetRawText(), alone.GetRawText());
    }

    [Theory]
    [InlineData("0")]
    [InlineData("5")]
    [InlineData("x")]
    [InlineData("-1")]
    public async Task There_is_no_other_group(string id)
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/cluster/groups/" + id);
        ProblemDocument problem = await ProblemDocument.ReadAsync(response, 404, "InvalidRequest");
        Assert.Contains("groups are 1 to 4", problem.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_hash_of_a_group_says_which_index_it_belongs_to()
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/cluster/groups/2/hash");
        JsonElement json = await response.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal(2, json.GetProperty("group").GetInt32());
        Assert.Equal("n1", json.GetProperty("node").GetString());
        Assert.Equal(20, json.GetProperty("replicaId").GetInt32());
        Assert.Equal(100, json.GetProperty("applied").GetInt32());
        Assert.Equal("00ff000000001234", json.GetProperty("hash").GetString());
        Assert.True(response.Headers.CacheControl!.NoStore);
    }

    [Fact]
    public async Task A_hash_that_cannot_be_computed_here_or_now_is_refused()
    {
        door.Reset();
        door.HashesFree = false;
        await ProblemDocument.ReadAsync(await door.SendAsync("GET", "/v1/cluster/groups/2/hash"), 429, "Overloaded");
        door.Groups = [ScriptedDoor.Status(1, leader: 2)];
        await ProblemDocument.ReadAsync(await door.SendAsync("GET", "/v1/cluster/groups/2/hash"), 421, "WrongNode");
        await ProblemDocument.ReadAsync(await door.SendAsync("GET", "/v1/cluster/groups/5/hash"), 404, "InvalidRequest");
    }

    [Fact]
    public async Task Health_tells_alive_from_ready()
    {
        door.Reset();
        Assert.Equal(200, await StatusAsync("/health/live"));
        Assert.Equal(200, await StatusAsync("/health/startup"));
        Assert.Equal(200, await StatusAsync("/health/ready"));

        door.Readiness = new Readiness(NotReady.NoLeader, "1 of 2 groups on n2 know no leader");
        Assert.Equal(200, await StatusAsync("/health/live"));
        Assert.Equal(200, await StatusAsync("/health/startup"));
        using HttpResponseMessage response = await door.SendAsync("GET", "/health/ready");
        ProblemDocument problem = await ProblemDocument.ReadAsync(response, 503, "NoLeader");
        Assert.Contains("1 of 2 groups", problem.Detail, StringComparison.Ordinal);

        door.Readiness = new Readiness(NotReady.CatchingUp, "2 of 2 groups on n2 are behind");
        using HttpResponseMessage behind = await door.SendAsync("GET", "/health/ready");
        Assert.Contains("behind", (await ProblemDocument.ReadAsync(behind, 503, "Starting")).Detail, StringComparison.Ordinal);
        door.Readiness = new Readiness(NotReady.Draining, "Node n2 is stopping");
        using HttpResponseMessage stopping = await door.SendAsync("GET", "/health/ready");
        await ProblemDocument.ReadAsync(stopping, 503, "Draining");

        door.Recovered = false;
        Assert.Equal(200, await StatusAsync("/health/live"));
        Assert.Equal(503, await StatusAsync("/health/startup"));
        Assert.Equal(503, await StatusAsync("/health/ready"));
    }

    private async Task<int> StatusAsync(string path)
    {
        using HttpResponseMessage response = await door.SendAsync("GET", path);
        return (int)response.StatusCode;
    }
}
