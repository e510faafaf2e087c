using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using KvStore.LoadTests.Load;
using KvStore.LoadTests.Servers;
using KvStore.Protocol;

namespace KvStore.LoadTests.Chaos;

/// <summary>
/// Measures outages: while a round is on, one fresh write per group every 20 ms, each over the next node that should be up. Writes
/// do not wait for each other, so a write that hangs in a dead leader's queue hides nothing. They are part of the history.
/// </summary>
internal sealed class Prober(IStoreClient client, Recorder recorder, IReadOnlyList<string> keys, IReadOnlyList<string> nodeNames, int seed)
{
    private const int TimeoutMs = 5000;
    private const int MaxInFlightPerGroup = 400;
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(20);

    private readonly RequestIdSource _ids = RequestIdSource.Random(new Random(seed));
    private readonly Stack<int>[] _idle = [.. keys.Select(_ => new Stack<int>())];
    private readonly int[] _processes = new int[keys.Count];
    private readonly string?[] _leaders = new string?[keys.Count];
    private readonly List<Task> _inFlight = [];
    private volatile FaultRound? _round;
    private volatile int[] _nodes = [.. Enumerable.Range(0, nodeNames.Count)];
    private volatile bool _probing;
    private long _number;

    /// <summary>One key per group; index = group - 1.</summary>
    public static async Task<IReadOnlyList<string>> LocateKeysAsync(ClusterFile cluster, CancellationToken cancellation)
    {
        using var http = new HttpClient { BaseAddress = cluster.Nodes[0].Http };
        string?[] keys = new string?[cluster.Groups];
        for (int number = 0; keys.Contains(null); number++)
        {
            string key = $"probe-{number}";
            var location = await http.GetFromJsonAsync<JsonElement>($"/v1/locate/{key}", cancellation);
            keys[location.GetProperty("group").GetInt32() - 1] ??= key;
        }

        return keys!;
    }

    public IReadOnlyList<string> Keys => keys;

    /// <summary>Begins probing, over all nodes, before the fault: who leads is known from the answers.</summary>
    public void Begin() => _probing = true;

    /// <summary>Answers from now on count for this round; the nodes that are down are not asked.</summary>
    public void Watch(FaultRound round)
    {
        round.LeaderlessGroups = Enumerable.Range(0, keys.Count)
            .Where(group => round.Nodes.Contains(Volatile.Read(ref _leaders[group])))
            .ToHashSet();
        Use(nodeNames.Except(round.Nodes));
        _round = round;
    }

    /// <summary>Groups that this node leads, as far as their last answers told.</summary>
    public int GroupsLedBy(string node) => _leaders.Count(leader => leader == node);

    /// <summary>The node that leads most groups, as far as their last answers told.</summary>
    public string? LeaderOfMost() => Enumerable.Range(0, keys.Count)
        .Select(group => Volatile.Read(ref _leaders[group]))
        .OfType<string>()
        .CountBy(leader => leader)
        .OrderByDescending(leader => leader.Value)
        .Select(leader => leader.Key)
        .FirstOrDefault();

    public void Use(IEnumerable<string> nodes) =>
        _nodes = [.. nodes.Select(name => Enumerable.Range(0, nodeNames.Count).First(i => nodeNames[i] == name))];

    public void End()
    {
        _probing = false;
        _round = null;
        Use(nodeNames);
    }

    public async Task RunAsync(CancellationToken cancellation)
    {
        using var timer = new PeriodicTimer(Interval);
        for (int turn = 0; !cancellation.IsCancellationRequested; turn++)
        {
            await timer.WaitForNextTickAsync(CancellationToken.None);
            int[] nodes = _nodes;
            for (int group = 0; _probing && nodes.Length > 0 && group < keys.Count; group++)
            {
                if (TryTakeProcess(group, out int process))
                {
                    _inFlight.Add(ProbeAsync(group, process, nodes[(turn + group) % nodes.Length]));
                }
            }

            _inFlight.RemoveAll(probe => probe.IsCompletedSuccessfully);
        }

        await Task.WhenAll(_inFlight);
    }

    private async Task ProbeAsync(int group, int process, int node)
    {
        var request = new KvRequest
        {
            Operation = new Put(
                Encoding.ASCII.GetBytes(keys[group]), Encoding.ASCII.GetBytes($"probe.{Interlocked.Increment(ref _number)}")),
            Id = _ids.Begin(),
            TimeoutMs = TimeoutMs,
        };
        long call = recorder.Now;
        var reply = await client.SendAsync(node, process, request);
        long returned = recorder.Now;
        _ids.End(request.Id.Value);
        var outcome = reply.Code == ErrorCode.None ? OperationOutcome.Ok
            : reply.Outcome == Outcome.NotApplied ? OperationOutcome.Fail
            : OperationOutcome.Unknown;
        recorder.Record(process, request, call, new Answer(outcome, reply, node));
        if (outcome == OperationOutcome.Ok)
        {
            _round?.Acknowledged(group, call, returned);
            if (reply.Evidence is { Node: { IsNone: false } leader })
            {
                Volatile.Write(ref _leaders[group], nodeNames[(int)leader.Value - 1]);
            }
        }

        lock (_idle[group])
        {
            _idle[group].Push(process);
        }
    }

    private bool TryTakeProcess(int group, out int process)
    {
        lock (_idle[group])
        {
            if (_idle[group].TryPop(out process))
            {
                return true;
            }
        }

        if (_processes[group] == MaxInFlightPerGroup)
        {
            return false;
        }

        _processes[group]++;
        process = recorder.NewProcess();
        return true;
    }
}
