using KvStore.Protocol;
using KvStore.StateMachine;
using static KvStore.Replication.Tests.StateMachine.Machine;

namespace KvStore.Replication.Tests.StateMachine;

/// <summary>Floors: what "acknowledged below n" may forget, and what it must not.</summary>
public sealed class FloorTests
{
    private readonly Machine _machine = new();

    [Fact]
    public void A_hint_replaces_the_records_below_it_by_one_floor()
    {
        for (ulong i = 1; i <= 100; i++)
        {
            _machine.Apply(Increment("n", id: Id(1, i)));
        }

        Assert.Equal((100, 0), (_machine.State.RecordCount, _machine.State.FloorCount));
        _machine.Apply(Increment("n", id: Id(1, 101, ackedBelow: 100)));
        Assert.Equal((2, 1), (_machine.State.RecordCount, _machine.State.FloorCount));
        Assert.True(_machine.Apply(Increment("n", id: Id(1, 100))).Duplicate);
        CommandResult below = _machine.Apply(Increment("n", id: Id(1, 99)));
        Assert.Equal((ErrorCode.IdempotencyExpired, Outcome.Unknown), (below.Code, below.Outcome));
        Assert.Equal("101", _machine.Value("n"));
    }

    [Fact]
    public void A_client_that_acknowledges_keeps_as_many_records_as_it_has_requests_in_flight()
    {
        for (ulong i = 1; i <= 10_000; i++)
        {
            _machine.Apply(Increment("n", id: Id(1, i, ackedBelow: i > 8 ? i - 8 : 1)));
            Assert.True(_machine.State.RecordCount <= 9);
        }

        Assert.Equal((9, 1), (_machine.State.RecordCount, _machine.State.FloorCount));
        _machine.NoOpAt(Start + D + 1);
        Assert.Equal((0, 0), (_machine.State.RecordCount, _machine.State.FloorCount));
    }

    [Fact]
    public void Dedup_ackedbelow_stalled_copy_is_refused_and_not_executed()
    {
        // Sequence 1 stalls in a forwarder; its retry is executed and answered; sequence 2 acknowledges it; then the stalled copy arrives.
        KvRequest stalled = Increment("n", id: Id(1, 1, firstSent: Start));
        _machine.Apply(stalled);
        _machine.Apply(Increment("n", id: Id(1, 2, firstSent: Start, ackedBelow: 2)));
        Assert.Equal(ErrorCode.IdempotencyExpired, _machine.ApplyAt(Start + D, stalled)[0].Code);
        Assert.Equal("2", _machine.Value("n"));
    }

    [Fact]
    public void A_sequence_below_the_floor_is_refused_even_when_it_never_came_here_before()
    {
        // Its client was told "not applied" by somebody; that is a proof only if no stalled copy is executed afterwards.
        _machine.Apply(Increment("n", id: Id(1, 5, ackedBelow: 5)));
        Assert.Equal(ErrorCode.IdempotencyExpired, _machine.Apply(Increment("n", id: Id(1, 4))).Code);
        Assert.Equal(ErrorCode.None, _machine.Apply(Increment("n", id: Id(1, 6))).Code);
    }

    [Fact]
    public void A_floor_lives_as_long_as_the_longest_lived_record_it_replaced()
    {
        // The client's clock steps back an hour between its two requests.
        KvRequest first = Increment("n", id: Id(1, 1, firstSent: Start + Hour));
        _machine.Apply(first);
        _machine.Apply(Increment("n", id: Id(1, 2, firstSent: Start, ackedBelow: 2)));
        Assert.Equal(ErrorCode.IdempotencyExpired, _machine.ApplyAt(Start + D + 1, first)[0].Code);
        Assert.Equal((0, 1), (_machine.State.RecordCount, _machine.State.FloorCount));

        // At the floor's own expiry it still stands; one millisecond later the window refuses the copy.
        Assert.Equal(ErrorCode.IdempotencyExpired, _machine.ApplyAt(Start + Hour + D, first)[0].Code);
        Assert.Equal(1, _machine.State.FloorCount);
        Assert.Equal(ErrorCode.IdempotencyExpired, _machine.ApplyAt(Start + Hour + D + 1, first)[0].Code);
        Assert.Equal(0, _machine.State.FloorCount);
        Assert.Equal("2", _machine.Value("n"));
    }

    [Fact]
    public void A_floor_lives_at_least_as_long_as_its_own_request_could_be_repeated()
    {
        _machine.Apply(Increment("n", id: Id(1, 1, firstSent: Start)));
        KvRequest second = Increment("n", id: Id(1, 2, firstSent: Start + Hour, ackedBelow: 2));
        _machine.Apply(second);
        _machine.NoOpAt(Start + Hour + D);
        Assert.Equal((1, 1), (_machine.State.RecordCount, _machine.State.FloorCount));
        _machine.NoOpAt(Start + Hour + D + 1);
        Assert.Equal((0, 0), (_machine.State.RecordCount, _machine.State.FloorCount));
    }

    [Fact]
    public void Raising_a_floor_keeps_the_longer_life_it_had()
    {
        KvRequest first = Increment("n", id: Id(1, 1, firstSent: Start + Hour));
        _machine.Apply(first);
        _machine.Apply(Increment("n", id: Id(1, 2, firstSent: Start, ackedBelow: 2)));
        _machine.Apply(Increment("n", id: Id(1, 3, firstSent: Start, ackedBelow: 3)));
        _machine.NoOpAt(Start + Hour + D);
        Assert.Equal(1, _machine.State.FloorCount);
        Assert.Equal(ErrorCode.IdempotencyExpired, _machine.Apply(first).Code);
        Assert.Equal("3", _machine.Value("n"));
    }

    [Fact]
    public void A_floor_never_goes_down_while_it_lives()
    {
        _machine.Apply(Increment("n", id: Id(1, 9, ackedBelow: 9)));
        _machine.Apply(Increment("n", id: Id(1, 10, ackedBelow: 3)));
        Assert.Equal(ErrorCode.IdempotencyExpired, _machine.Apply(Increment("n", id: Id(1, 8))).Code);
        Assert.Equal(ErrorCode.IdempotencyExpired, _machine.Apply(Increment("n", id: Id(1, 3))).Code);
    }

    [Fact]
    public void A_hint_beyond_the_requests_own_sequence_stops_at_it()
    {
        KvRequest request = Increment("n", id: Id(1, 5, ackedBelow: ulong.MaxValue));
        _machine.Apply(request);
        Assert.True(_machine.Apply(request).Duplicate);
        Assert.Equal(ErrorCode.None, _machine.Apply(Increment("n", id: Id(1, 6))).Code);
        Assert.Equal("2", _machine.Value("n"));
    }

    [Fact]
    public void A_hint_under_a_user_key_means_nothing()
    {
        _machine.Apply(Increment("n", id: new RequestId(1, 0, 0, 10, Digest(1))));
        Assert.Equal((1, 0), (_machine.State.RecordCount, _machine.State.FloorCount));
        Assert.True(_machine.Apply(Increment("n", id: UserKey(1))).Duplicate);
    }

    [Fact]
    public void A_floor_of_one_client_means_nothing_to_another()
    {
        _machine.Apply(Increment("n", id: Id(1, 9, ackedBelow: 9)));
        Assert.Equal(ErrorCode.None, _machine.Apply(Increment("n", id: Id(2, 1))).Code);
    }

    [Fact]
    public void A_floor_stands_in_the_virtual_node_of_its_request_only()
    {
        string other = Enumerable.Range(0, 100).Select(i => $"k{i}").First(k => VirtualNodeOf(Bytes(k)) != VirtualNodeOf(Bytes("n")));
        _machine.Apply(Increment(other, id: Id(1, 1)));
        _machine.Apply(Increment("n", id: Id(1, 2, ackedBelow: 2)));
        CommandResult copy = _machine.Apply(Increment(other, id: Id(1, 1)));
        Assert.Equal((ErrorCode.None, true), (copy.Code, copy.Duplicate));
    }

    [Fact]
    public void Sequences_that_arrive_in_any_order_are_replaced_in_theirs()
    {
        ulong[] order = [5, 2, 9, 1, 7, 3, 8, 6, 4, 10];
        foreach (ulong sequence in order)
        {
            _machine.Apply(Increment("n", id: Id(1, sequence)));
        }

        for (ulong below = 2; below <= 10; below++)
        {
            _machine.Apply(Increment("other", id: Id(1, 1000 + below)));
            _machine.Apply(Increment("n", id: Id(1, 10 + below, ackedBelow: below)));
            for (ulong sequence = 1; sequence <= 10; sequence++)
            {
                CommandResult copy = _machine.Apply(Increment("n", id: Id(1, sequence)));
                Assert.Equal(sequence >= below, copy.Duplicate);
            }
        }
    }

    [Fact]
    public void Records_that_expire_in_the_middle_of_a_client_leave_the_rest_in_order()
    {
        // The expiry follows the client's clock, which jumps about; the order of sequences is not the order of expiry.
        ulong[] ahead = [30, 10, 50, 20, 40];
        for (int i = 0; i < ahead.Length; i++)
        {
            _machine.Apply(Increment("n", id: Id(1, (ulong)i + 1, firstSent: Start + ahead[i])));
        }

        for (ulong step = 1; step <= 5; step++)
        {
            _machine.NoOpAt(Start + D + step * 10 + 1);
            Assert.Equal(5 - (int)step, _machine.State.RecordCount);
            Assert.Equal(_machine.Hash(), _machine.Restarted().Hash());
        }

        Assert.Empty(_machine.State.CaptureSections());
        Assert.Equal(ErrorCode.None, _machine.Apply(Increment("n", id: Id(1, 6, ackedBelow: 6))).Code);
    }
}
