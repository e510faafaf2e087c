using System.CommandLine;
using System.Text.Json;
using KvStore.Client;
using KvStore.Protocol;

namespace KvStore.Cli.Commands;

/// <summary>locate, explain, cluster, groups, nodes.</summary>
internal static class ClusterCommands
{
    public static IEnumerable<Command> All(Shell shell) =>
        [Locate(shell), Explain(shell), Cluster(shell), Groups(shell), Nodes(shell)];

    private static Command Locate(Shell shell)
    {
        var key = new Argument<string>("key");
        var command = new Command("locate", "Shows where a key lives.") { key };
        command.SetAction(async (parsed, stop) =>
        {
            await using KvClient kv = shell.Connect(parsed);
            KvLocation at = await kv.LocateAsync(parsed.GetValue(key)!, stop);
            shell.Print(parsed, ["key", "slot", "virtualNode", "group", "leader", "replicas"],
                [[parsed.GetValue(key), at.Slot, at.VirtualNode, at.Group.Number, at.Group.Leader, at.Group.Replicas]]);
            return ExitCode.Ok;
        });
        return command;
    }

    private static Command Explain(Shell shell)
    {
        var key = new Argument<string>("key");
        var query = new Option<string?>("--query") { Description = "What is asked of the read, as in REST: maxStaleness=500ms, consistency=session." };
        var command = new Command("explain", "Shows which replica could answer a read now, and why.") { key, query };
        command.SetAction(async (parsed, stop) =>
        {
            await using KvClient kv = shell.Connect(parsed);
            KvTopology topology = await kv.GetTopologyAsync(stop);
            using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(10) };
            string path = $"/v1/explain/{Uri.EscapeDataString(parsed.GetValue(key)!)}?{parsed.GetValue(query)}";
            JsonElement answer = await GetAsync(http, topology, path, stop);
            if (shell.FormOf(parsed) is OutputForm.Json or OutputForm.Ndjson)
            {
                await shell.Output.WriteLineAsync(
                    JsonSerializer.Serialize(answer, shell.FormOf(parsed) == OutputForm.Json ? Json.Document : Json.Lines));
                return ExitCode.Ok;
            }

            shell.Print(parsed, ["node", "role", "applied", "stalenessMs", "canServe", "reason"],
            [
                .. answer.GetProperty("replicas").EnumerateArray().Select(replica => new object?[]
                {
                    Cell(replica, "node"), Cell(replica, "role"), Cell(replica, "applied"), Cell(replica, "stalenessMs"), Cell(replica, "canServe"),
                    Cell(replica, "reason"),
                }),
            ]);
            await shell.Output.WriteLineAsync(Cell(answer.GetProperty("wouldServe"), "reason"));
            return ExitCode.Ok;
        });
        return command;
    }

    private static Command Cluster(Shell shell)
    {
        var check = new Option<bool>("--check") { Description = "Exit code 7 unless every group has a leader and every node answers." };
        var command = new Command("cluster", "Shows the cluster at a glance.") { check };
        command.SetAction(async (parsed, stop) =>
        {
            await using KvClient kv = shell.Connect(parsed);
            KvTopology topology = await kv.GetTopologyAsync(stop);
            bool[] ready = await ReadyAsync(topology, stop);
            int led = topology.Groups.Count(group => group.Leader is not null);
            shell.Print(parsed, ["cluster", "epoch", "nodes", "nodesReady", "groups", "groupsLed", "virtualNodes"],
                [[topology.ClusterId, topology.Epoch, topology.Nodes.Count, ready.Count(one => one), topology.Groups.Count, led, topology.VirtualNodes]]);
            return parsed.GetValue(check) && (led < topology.Groups.Count || ready.Contains(false)) ? ExitCode.Unhealthy : ExitCode.Ok;
        });
        return command;
    }

    private static Command Groups(Shell shell)
    {
        var command = new Command("groups", "Lists the Raft groups, their leaders and replicas.");
        command.SetAction(async (parsed, stop) =>
        {
            await using KvClient kv = shell.Connect(parsed);
            KvTopology topology = await kv.GetTopologyAsync(stop);
            shell.Print(parsed, ["group", "leader", "replicas"],
                [.. topology.Groups.Select(group => new object?[] { group.Number, group.Leader, group.Replicas })]);
            return ExitCode.Ok;
        });
        return command;
    }

    private static Command Nodes(Shell shell)
    {
        var command = new Command("nodes", "Lists the nodes, whether they are ready, and what they lead.");
        command.SetAction(async (parsed, stop) =>
        {
            await using KvClient kv = shell.Connect(parsed);
            KvTopology topology = await kv.GetTopologyAsync(stop);
            bool[] ready = await ReadyAsync(topology, stop);
            shell.Print(parsed, ["node", "ready", "http", "binary", "zone", "leads", "replicas"],
            [
                .. topology.Nodes.Select((node, i) => new object?[]
                {
                    node.Name, ready[i], node.Http, node.Binary, node.Zone, topology.Groups.Count(group => group.Leader == node.Name),
                    topology.Groups.Count(group => group.Replicas.Contains(node.Name)),
                }),
            ]);
            return ExitCode.Ok;
        });
        return command;
    }

    private static async Task<bool[]> ReadyAsync(KvTopology topology, CancellationToken stop)
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(2) };
        return await Task.WhenAll(topology.Nodes.Select(async node =>
        {
            try
            {
                using HttpResponseMessage answer = await http.GetAsync(new Uri($"http://{node.Http}/health/ready"), stop);
                return answer.IsSuccessStatusCode;
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !stop.IsCancellationRequested)
            {
                return false;
            }
        }));
    }

    private static async Task<JsonElement> GetAsync(HttpClient http, KvTopology topology, string path, CancellationToken stop)
    {
        foreach (KvNode node in topology.Nodes)
        {
            try
            {
                using HttpResponseMessage answer = await http.GetAsync(new Uri($"http://{node.Http}{path}"), stop);
                string body = await answer.Content.ReadAsStringAsync(stop);
                return answer.IsSuccessStatusCode
                    ? JsonDocument.Parse(body).RootElement
                    : throw new ArgumentException($"{node.Name} refuses: {Cell(JsonDocument.Parse(body).RootElement, "detail")}");
            }
            catch (HttpRequestException)
            {
                // The next one may answer.
            }
        }

        throw new KvException(ErrorCode.NoLeader, "no node answers over HTTP");
    }

    private static string? Cell(JsonElement from, string name) =>
        from.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value.ToString() : null;
}
