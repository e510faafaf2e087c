using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using static KvStore.Replication.Tests.StateMachine.Machine;

namespace KvStore.Replication.Tests.StateMachine;

public sealed class TransactionTests
{
    private readonly Machine _machine = new() { Level = FeatureLevel.Max };

    [Fact]
    public void The_first_list_is_executed_when_every_condition_holds_and_the_second_otherwise()
    {
        ulong a = _machine.Apply(Put("{t}a", "1")).Revision;
        KeyCondition[] conditions = [KeyCondition.RevisionIs(Bytes("{t}a"), a), KeyCondition.Absent(Bytes("{t}b"))];
        KvRequest request = Txn(conditions, [PutOf("{t}b", "2"), GetOf("{t}a")], [GetOf("{t}b")]);

        CommandResult first = _machine.Apply(request);
        Assert.True(first.Succeeded);
        Assert.Equal(("2", _machine.Revision("{t}b")), (_machine.Value("{t}b"), first.Items![0].Revision));
        Assert.Equal("1", ValueOf(first.Items![1]));

        CommandResult second = _machine.Apply(request);
        Assert.False(second.Succeeded);
        Assert.Equal((ErrorCode.None, Outcome.Applied, 0ul), (second.Code, second.Outcome, second.Revision));
        Assert.Equal("2", ValueOf(Assert.Single(second.Items!)));
    }

    [Fact]
    public void An_item_sees_what_those_before_it_write_and_a_condition_does_not()
    {
        CommandResult result = _machine.Apply(Txn(
            [KeyCondition.Absent(Bytes("{t}n"))],
            [GetOf("{t}n"), new Increment(Bytes("{t}n"), 5), GetOf("{t}n"), new Delete(Bytes("{t}n")), GetOf("{t}n"), PutOf("{t}n", "x")],
            []));
        Assert.True(result.Succeeded);
        Assert.Equal(
            [ErrorCode.KeyNotFound, ErrorCode.None, ErrorCode.None, ErrorCode.None, ErrorCode.KeyNotFound, ErrorCode.None],
            result.Items!.Select(item => item.Code));
        Assert.Equal("5", ValueOf(result.Items![2]));
        Assert.Equal("x", _machine.Value("{t}n"));
    }

    [Fact]
    public void A_write_that_fails_takes_everything_with_it_and_is_named()
    {
        _machine.Apply(Put("{t}text", "no number"));
        ulong before = _machine.Hash();
        CommandResult result = _machine.Apply(Txn([], [PutOf("{t}a", "1"), GetOf("{t}a"), new Increment(Bytes("{t}text"))], []));
        Assert.Equal((ErrorCode.NotANumber, Outcome.NotApplied), (result.Code, result.Outcome));
        Assert.Contains("item 2", result.Detail, StringComparison.Ordinal);
        Assert.Null(_machine.Value("{t}a"));
        Assert.NotEqual(before, _machine.Hash()); // revisions are used up all the same
    }

    [Fact]
    public void A_copy_shows_what_was_read_while_it_is_there_and_says_so_when_it_is_not()
    {
        ulong a = _machine.Apply(Put("{t}a", "1")).Revision;
        _machine.Apply(Put("{t}b", "2"));
        KvRequest request = Txn([], [GetOf("{t}a"), GetOf("{t}b"), GetOf("{t}c"), PutOf("{t}b", "3")], [], Id(1, 1));
        CommandResult first = _machine.Apply(request);
        CommandResult copy = _machine.Apply(request);
        Assert.True(copy.Duplicate);
        Assert.Equal(("1", "1"), (ValueOf(first.Items![0]), ValueOf(copy.Items![0])));
        Assert.Equal("2", ValueOf(first.Items![1]));
        Assert.Equal(ErrorCode.Superseded, copy.Items![1].Code); // by the transaction itself
        Assert.Equal(first.Items![1].Revision, copy.Items![1].Revision);
        Assert.Equal(ErrorCode.KeyNotFound, copy.Items![2].Code);

        _machine.Apply(Put("{t}a", "4"));
        CommandResult late = _machine.Apply(request);
        Assert.Equal((ErrorCode.Superseded, a), (late.Items![0].Code, late.Items![0].Revision));
        Assert.Equal("3", _machine.Value("{t}b"));
    }

    [Fact]
    public void What_is_recalled_without_an_entry_shows_what_was_read_as_well()
    {
        _machine.Apply(Put("{t}a", "1"));
        KvRequest request = Txn([KeyCondition.Exists(Bytes("{t}a"))], [PutOf("{t}b", "2"), GetOf("{t}a"), GetOf("{t}b")], [], Id(1, 1));
        _machine.Apply(request);
        _machine.Apply(Delete("k"));
        CommandResult recalled = _machine.State.Recall((WriteOperation)request.Operation, VirtualNodeOf(request.Key.Span), request.Id!.Value)!.Value;
        Assert.Equal(("1", "2"), (ValueOf(recalled.Items![1]), ValueOf(recalled.Items![2])));
        _machine.Apply(Put("{t}a", "3"));
        recalled = _machine.State.Recall((WriteOperation)request.Operation, VirtualNodeOf(request.Key.Span), request.Id!.Value)!.Value;
        Assert.Equal(ErrorCode.Superseded, recalled.Items![1].Code);
    }

    [Theory]
    [InlineData("v", null, "v", null, true)]
    [InlineData("v", "text/plain", "v", null, true)]
    [InlineData("v", "text/plain", "v", "text/plain", true)]
    [InlineData("v", "text/plain", "v", "text/html", false)]
    [InlineData("v", null, "w", null, false)]
    [InlineData("v", null, "", null, false)]
    [InlineData("", null, "", null, true)]
    public void A_value_is_compared_by_its_bytes_and_by_its_type_when_one_is_named(
        string stored, string? type, string asked, string? askedType, bool holds)
    {
        _machine.Apply(Put("k", stored, type: type));
        KeyCondition condition = askedType is null
            ? KeyCondition.ValueIs(Bytes("k"), Bytes(asked))
            : KeyCondition.StoredIs(Bytes("k"), Bytes(asked), askedType);
        Assert.Equal(holds, _machine.Apply(Txn([condition], [], [])).Succeeded);
    }

    [Fact]
    public void An_absent_key_has_no_value_and_no_revision()
    {
        Assert.All(
            [KeyCondition.ValueIs(Bytes("k"), Bytes("")), KeyCondition.StoredIs(Bytes("k"), [], null), KeyCondition.RevisionIs(Bytes("k"), 0),
                KeyCondition.Exists(Bytes("k"))],
            condition => Assert.False(_machine.Apply(Txn([condition], [], [])).Succeeded));
        Assert.True(_machine.Apply(Txn([KeyCondition.Absent(Bytes("k"))], [], [])).Succeeded);
    }

    [Fact]
    public void The_values_that_are_read_have_a_limit_together()
    {
        _machine.Apply(Put("k", new string('v', Limits.MaxValueBytes)));
        Operation[] three = [.. Enumerable.Repeat(GetOf("k"), 3)];
        Assert.Equal(ErrorCode.None, _machine.Apply(Txn([], three, [])).Code);

        CommandResult four = _machine.Apply(Txn([], [PutOf("{k}other", "1"), .. three, GetOf("k")], [], Id(1, 1)));
        Assert.Equal((ErrorCode.TooLarge, Outcome.NotApplied), (four.Code, four.Outcome));
        Assert.Contains($"{Limits.MaxTransactionReadBytes}", four.Detail, StringComparison.Ordinal);
        Assert.Null(_machine.Value("{k}other"));
    }

    [Fact]
    public void SM4_a_copy_does_not_copy_values_that_it_does_not_return()
    {
        _machine.Apply(Put("k", "small"));
        KvRequest request = Txn([], [.. Enumerable.Repeat(GetOf("k"), Limits.MaxBatchItems)], [], Id(1, 1));
        _machine.Apply(request);
        _machine.Apply(Put("k", new string('v', Limits.MaxValueBytes)));
        Entry entry = _machine.EntryOf(_machine.GroupTime << 16, request);
        var results = new List<CommandResult>();
        long before = GC.GetAllocatedBytesForCurrentThread();
        _machine.State.Apply(entry, results);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 8 << 20);
        Assert.All(results[0].Items!, item => Assert.Equal(ErrorCode.Superseded, item.Code));
    }

    [Fact]
    public void SM4_where_nobody_waits_for_a_result_none_is_made()
    {
        _machine.Apply(Put("k", new string('v', Limits.MaxValueBytes)));
        KvRequest request = Txn([], [.. Enumerable.Repeat(GetOf("k"), 3)], [], Id(1, 1));
        foreach (string what in (string[])["first", "copy"])
        {
            Entry entry = _machine.EntryOf(_machine.GroupTime << 16, request);
            long before = GC.GetAllocatedBytesForCurrentThread();
            _machine.State.Apply(entry, null);
            Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 64 << 10, what);
        }
    }

    [Fact]
    public void A_replica_made_from_a_snapshot_answers_copies_alike()
    {
        _machine.Apply(Put("{t}a", "1"));
        KvRequest[] requests =
        [
            Txn([KeyCondition.Exists(Bytes("{t}a"))], [GetOf("{t}a"), PutOf("{t}b", "2")], [], Id(1, 1)),
            Txn([KeyCondition.Exists(Bytes("{t}z"))], [PutOf("{t}b", "3")], [GetOf("{t}b")], Id(1, 2)),
            Txn([KeyCondition.Exists(Bytes("{t}z"))], [PutOf("{t}b", "3")], [], Id(1, 3)),
            Txn([], [new Increment(Bytes("{t}n"), condition: Exists), GetOf("{t}a")], [], Id(1, 4)),
        ];
        Assert.All(requests, request => _machine.Apply(request));
        Machine restarted = _machine.Restarted();
        Assert.All(requests, request => Assert.Equal(Shown(_machine.Apply(request)), Shown(restarted.Apply(request))));
    }

    private static string Shown(CommandResult result) =>
        $"{result.Code} {result.Duplicate} {result.Succeeded} {string.Join(", ", result.Items!.Select(item => $"{item.Code} {item.Revision} {ValueOf(item)}"))}";

    private static KvRequest Txn(
        IReadOnlyList<KeyCondition> conditions, IReadOnlyList<Operation> then, IReadOnlyList<Operation> otherwise, RequestId? id = null) =>
        new() { Operation = new Transaction(conditions, then, otherwise), Id = id };

    private static Get GetOf(string key) => new(Bytes(key));

    private static Put PutOf(string key, string value) => new(Bytes(key), Bytes(value));

    private static string? ValueOf(ItemResult item) => item.Result is Found found ? System.Text.Encoding.UTF8.GetString(found.Value.Span) : null;
}
