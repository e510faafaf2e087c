using KvStore.LoadTests.Chaos;
using KvStore.LoadTests.Load;
using KvStore.Protocol;

namespace KvStore.LoadTests.Tests;

public sealed class PatientClientTests
{
    private static readonly KvReply NoLeader = new() { Code = ErrorCode.NoLeader, Outcome = Outcome.NotApplied };
    private static readonly KvReply Lost = new() { Code = ErrorCode.Indeterminate, Outcome = Outcome.Unknown };
    private static readonly KvReply Reused = new() { Code = ErrorCode.IdempotencyReused, Outcome = Outcome.NotApplied };

    [Fact]
    public async Task The_next_attempt_goes_to_the_next_node_under_the_same_id()
    {
        var script = new Script(NoLeader, Lost, new KvReply());
        var answer = await PutAsync(script);
        Assert.Equal(OperationOutcome.Ok, answer.Outcome);
        Assert.Equal([1, 2, 0], script.Nodes);
        Assert.Single(script.Ids.Distinct());
    }

    [Fact]
    public async Task Only_refusals_make_a_failure() =>
        Assert.Equal(OperationOutcome.Fail, (await PutAsync(new Script(NoLeader, NoLeader, Reused))).Outcome);

    [Fact]
    public async Task One_attempt_that_may_have_been_applied_keeps_the_outcome_unknown() =>
        Assert.Equal(OperationOutcome.Unknown, (await PutAsync(new Script(Lost, NoLeader, Reused))).Outcome);

    [Fact]
    public async Task A_read_that_was_lost_has_certainly_changed_nothing()
    {
        var script = new Script(new KvReply { Code = ErrorCode.InvalidRequest });
        var client = new PatientClient(script, TimeSpan.FromSeconds(1), new ImpatientClock());
        var answer = await client.SendAsync(1, 0, new KvRequest { Operation = new Get("k"u8) });
        Assert.Equal(OperationOutcome.Fail, answer.Outcome);
    }

    private static Task<Answer> PutAsync(Script script)
    {
        var request = new KvRequest { Operation = new Put("k"u8, []), Id = new RequestIdSource(1).Begin() };
        return new PatientClient(script, TimeSpan.FromSeconds(30), new ImpatientClock()).SendAsync(1, 0, request);
    }

    /// <summary>Stands still, and its timers fire at once: retries without waiting.</summary>
    private sealed class ImpatientClock : TimeProvider
    {
        public override long GetTimestamp() => 0;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            System.CreateTimer(callback, state, TimeSpan.Zero, period);
    }

    private sealed class Script(params KvReply[] replies) : IStoreClient
    {
        public List<int> Nodes { get; } = [];

        public List<RequestId?> Ids { get; } = [];

        public int NodeCount => 3;

        public ValueTask<KvReply> SendAsync(int node, int lane, KvRequest request, ClientSession? session = null)
        {
            Nodes.Add(node);
            Ids.Add(request.Id);
            return ValueTask.FromResult(replies[Nodes.Count - 1]);
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
