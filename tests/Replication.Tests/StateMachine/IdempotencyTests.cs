using System.Buffers;
using KvStore.Protocol;
using KvStore.StateMachine;
using static KvStore.Replication.Tests.StateMachine.Machine;

namespace KvStore.Replication.Tests.StateMachine;

/// <summary>Records: the order of the checks at apply, and each boundary from both sides.</summary>
public sealed class IdempotencyTests
{
    private readonly Machine _machine = new();

    [Fact]
    public void A_copy_gets_the_stored_result_and_does_nothing()
    {
        CommandResult first = _machine.Apply(Increment("n", id: Id(1, 1)));
        _machine.Apply(Increment("n", id: Id(1, 2)));
        CommandResult copy = _machine.Apply(Increment("n", id: Id(1, 1)));
        Assert.Equal(first with { Duplicate = true }, copy);
        Assert.Equal("2", _machine.Value("n"));
    }

    [Fact]
    public void A_copy_in_the_same_entry_meets_the_first_one()
    {
        CommandResult[] results = _machine.ApplyAt(Start, Increment("n", id: Id(1, 1)), Increment("n", id: Id(1, 1)));
        Assert.Equal([false, true], results.Select(r => r.Duplicate));
        Assert.Equal("1", _machine.Value("n"));
    }

    /// <summary>Clients of today send a digest over everything, groups of level 1 keep it in the form of then.</summary>
    [Theory]
    [InlineData(FeatureLevel.First)]
    [InlineData(FeatureLevel.Max)]
    public void A4_another_batch_under_the_same_id_is_another_request_at_every_level(ushort level)
    {
        var machine = new Machine { Level = level };
        KvRequest one = WithBodyDigest(Batch(Id(1, 1), Put("a", "1"), Increment("n")));
        KvRequest other = WithBodyDigest(Batch(Id(1, 1), Put("a", "2"), Increment("n")));
        CommandResult first = machine.Apply(one);
        Assert.Equal(ErrorCode.IdempotencyReused, machine.Apply(other).Code);
        Assert.True(machine.Apply(one).Duplicate);
        Assert.Equal(ErrorCode.None, first.Code);
        Assert.Equal("1", machine.Value("a"));

        static KvRequest WithBodyDigest(KvRequest request) =>
            request with { Id = request.Id!.Value with { Digest = RequestDigest.OfBody(request.Operation) } };
    }

    /// <summary>Doors of both levels name a request in two ways; a record under one of them tells a copy under the other.</summary>
    [Theory]
    [InlineData(FeatureLevel.First, 2)]
    [InlineData(2, 2)]
    [InlineData(FeatureLevel.First, FeatureLevel.First)]
    public void B1_a_copy_is_known_and_another_request_refused_under_every_pair_of_digests(ushort recordedAt, ushort copiedAt)
    {
        KvRequest[] requests =
        [
            Put("k", "A"), Put("k", "B"), Put("k", "A", type: "text/plain"), Put("k", "A", condition: Absent), Increment("k"), Increment("k", 2),
            Delete("k"), Batch(null, Put("k", "A")), Batch(null, Put("k", "B")),
        ];
        KvRequest[] young = [Append("k", "A"), Transaction("k", "A")];
        foreach ((int one, int other) in from one in Enumerable.Range(0, requests.Length)
                                         from other in Enumerable.Range(0, requests.Length + young.Length)
                                         select (one, other))
        {
            if (other >= requests.Length && copiedAt == FeatureLevel.First)
            {
                continue;
            }

            KvRequest copied = other < requests.Length ? requests[other] : young[other - requests.Length];
            foreach (KvRequest recorded in SentAs(requests[one]))
            {
                foreach (KvRequest copy in SentAs(copied))
                {
                    var machine = new Machine { Level = recordedAt };
                    machine.Apply(recorded);
                    machine.RaiseTo(copiedAt);
                    CommandResult result = machine.Apply(copy);
                    Assert.Equal(
                        (one == other ? ErrorCode.None : ErrorCode.IdempotencyReused, one == other, recorded, copy),
                        (result.Code, result.Duplicate, recorded, copy));
                }
            }
        }

        // As a door of this build sends it, with the default type spelled out or not, and as it arrives through a node of level 1.
        static IEnumerable<KvRequest> SentAs(KvRequest request)
        {
            foreach (string? type in request.Operation is Put { ContentType: not null } typed ? (string?[])[typed.ContentType] : [null, "application/octet-stream"])
            {
                RequestDigest digest = ((WriteOperation)request.Operation).DigestAsSaid(type);
                KvRequest sent = request with { Id = new RequestId(7, 0, 0, 0, digest) };
                yield return sent;
                var frame = new ArrayBufferWriter<byte>();
                if (KvRequestCodec.TryEncode(frame, sent, FeatureLevel.First))
                {
                    Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(frame.WrittenSpan, out KvRequest? arrived));
                    yield return arrived!;
                }
            }
        }

        static KvRequest Transaction(string key, string value) => new() { Operation = new Transaction([], [new Put(Bytes(key), Bytes(value))], []) };
    }

    [Fact]
    public void A_write_without_an_id_is_executed_every_time()
    {
        _machine.ApplyAt(Start, Increment("n"), Increment("n"));
        Assert.Equal("2", _machine.Value("n"));
        Assert.Equal(0, _machine.State.RecordCount);
    }

    [Fact]
    public void Other_clients_and_other_sequences_are_other_writes()
    {
        UInt128 high = (UInt128)1 << 64;
        _machine.ApplyAt(
            Start, Increment("n", id: Id(1, 1)), Increment("n", id: Id(2, 1)), Increment("n", id: Id(1, 2)),
            Increment("n", id: new RequestId(high + 1, 1, 0, 0)));
        Assert.Equal("4", _machine.Value("n"));
    }

    [Fact]
    public void A_failed_condition_and_not_a_number_are_results_and_are_stored()
    {
        _machine.Apply(Put("k", "abc"));
        CommandResult condition = _machine.Apply(Put("k", "1", Id(1, 1), Absent));
        CommandResult number = _machine.Apply(Increment("k", id: Id(1, 2)));
        _machine.Apply(Delete("k"));

        // Both would succeed now; a retry must hear what the first copy came to.
        Assert.Equal(condition with { Duplicate = true }, _machine.Apply(Put("k", "1", Id(1, 1), Absent)));
        Assert.Equal(number with { Duplicate = true }, _machine.Apply(Increment("k", id: Id(1, 2))));
        Assert.Equal((ErrorCode.ConditionFailed, ErrorCode.NotANumber), (condition.Code, number.Code));
        Assert.Null(_machine.Value("k"));
    }

    [Fact]
    public void Dedup_trim_boundary_a_record_is_kept_while_its_expiry_equals_group_time_and_gone_one_millisecond_later()
    {
        KvRequest request = Increment("n", id: Id(1, 1, firstSent: Start));
        _machine.ApplyAt(Start, request);
        _machine.NoOpAt(Start + D);
        Assert.Equal(1, _machine.State.RecordCount);
        CommandResult copy = _machine.ApplyAt(Start + D, request)[0];
        Assert.Equal((ErrorCode.None, true), (copy.Code, copy.Duplicate));

        CommandResult late = _machine.ApplyAt(Start + D + 1, request)[0];
        Assert.Equal((ErrorCode.IdempotencyExpired, Outcome.Unknown, false), (late.Code, late.Outcome, late.Duplicate));
        Assert.Equal(0, _machine.State.RecordCount);
        Assert.Equal("1", _machine.Value("n"));
    }

    [Fact]
    public void A_write_first_sent_exactly_the_window_ago_is_executed_and_one_millisecond_earlier_is_refused()
    {
        _machine.NoOpAt(Start + D);
        Assert.Equal(ErrorCode.None, _machine.Apply(Increment("n", id: Id(1, 1, firstSent: Start))).Code);
        CommandResult late = _machine.Apply(Increment("n", id: Id(1, 2, firstSent: Start - 1)));
        Assert.Equal((ErrorCode.IdempotencyExpired, Outcome.Unknown), (late.Code, late.Outcome));
        Assert.Equal("1", _machine.Value("n"));
        Assert.Equal(1, _machine.State.RecordCount);
    }

    [Fact]
    public void A_write_executed_late_is_remembered_for_the_window_from_its_execution()
    {
        _machine.NoOpAt(Start + D);
        KvRequest request = Increment("n", id: Id(1, 1, firstSent: Start));
        _machine.Apply(request);
        Assert.True(_machine.ApplyAt(Start + D + D, request)[0].Duplicate);
        Assert.Equal(ErrorCode.IdempotencyExpired, _machine.ApplyAt(Start + D + D + 1, request)[0].Code);
    }

    [Fact]
    public void A_write_from_the_future_is_executed_up_to_an_hour_ahead_and_remembered_from_its_own_time()
    {
        KvRequest request = Increment("n", id: Id(1, 1, firstSent: Start + Hour));
        Assert.Equal(ErrorCode.None, _machine.Apply(request).Code);
        CommandResult tooFar = _machine.Apply(Increment("n", id: Id(1, 2, firstSent: Start + Hour + 1)));
        Assert.Equal((ErrorCode.InvalidRequest, Outcome.NotApplied), (tooFar.Code, tooFar.Outcome));

        Assert.True(_machine.ApplyAt(Start + Hour + D, request)[0].Duplicate);
        Assert.Equal(ErrorCode.IdempotencyExpired, _machine.ApplyAt(Start + Hour + D + 1, request)[0].Code);
        Assert.Equal("1", _machine.Value("n"));
    }

    [Fact]
    public void No_time_of_first_sending_overflows_the_window()
    {
        Assert.Equal(ErrorCode.InvalidRequest, _machine.Apply(Increment("n", id: Id(1, 1, firstSent: ulong.MaxValue))).Code);
        Assert.Equal(ErrorCode.IdempotencyExpired, _machine.Apply(Increment("n", id: Id(1, 1, firstSent: 1))).Code);
        Assert.Equal(0, _machine.State.RecordCount);
    }

    [Fact]
    public void Group_time_includes_the_clock_of_the_entry_itself()
    {
        // The group was idle for a day; a client with a right clock must not be told it comes from the future.
        ulong tomorrow = Start + 24 * Hour;
        Assert.Equal(ErrorCode.None, _machine.ApplyAt(tomorrow, Increment("n", id: Id(1, 1, firstSent: tomorrow)))[0].Code);

        // Nor may a write that was young enough before the pause be executed after it.
        Assert.Equal(
            ErrorCode.IdempotencyExpired, _machine.ApplyAt(tomorrow + D + 1, Increment("n", id: Id(1, 2, firstSent: tomorrow)))[0].Code);
    }

    [Fact]
    public void A_record_is_looked_up_before_the_time_is_judged()
    {
        // Kept longer than the window of its own time, because it was executed late: the stored result wins over "too old".
        _machine.NoOpAt(Start + D);
        KvRequest request = Increment("n", id: Id(1, 1, firstSent: Start));
        _machine.Apply(request);
        CommandResult copy = _machine.ApplyAt(Start + D + 1, request)[0];
        Assert.Equal((ErrorCode.None, true), (copy.Code, copy.Duplicate));
    }

    [Fact]
    public void A_refused_request_leaves_no_trace()
    {
        _machine.NoOpAt(Start + 2 * D);
        _machine.Apply(Put("k", "1", UserKey(7)));
        (int records, int floors) = (_machine.State.RecordCount, _machine.State.FloorCount);
        string[] rows = [.. _machine.Rows()];
        _machine.ApplyAt(
            _machine.GroupTime,
            Put("k", "2", Id(1, 9, firstSent: Start, ackedBelow: 9)),
            Put("k", "2", Id(1, 9, firstSent: _machine.GroupTime + Hour + 1, ackedBelow: 9)),
            Put("k", "2", UserKey(7, digest: 2)),
            Put("k", "1", UserKey(7)));
        Assert.Equal((records, floors), (_machine.State.RecordCount, _machine.State.FloorCount));
        Assert.Equal(rows, _machine.Rows());
    }

    [Fact]
    public void A_user_key_with_another_payload_is_refused_and_with_the_same_gets_the_result()
    {
        CommandResult first = _machine.Apply(Put("k", "1", UserKey(7, digest: 100)));
        CommandResult reused = _machine.Apply(Put("k", "2", UserKey(7, digest: 101)));
        Assert.Equal((ErrorCode.IdempotencyReused, Outcome.NotApplied, false), (reused.Code, reused.Outcome, reused.Duplicate));
        Assert.Equal(first with { Duplicate = true }, _machine.Apply(Put("k", "1", UserKey(7, digest: 100))));
        Assert.Equal("1", _machine.Value("k"));
    }

    [Fact]
    public void A_rest_key_without_issue_time_is_exactly_once_for_the_window_and_then_a_new_request()
    {
        KvRequest request = Increment("n", id: UserKey(7));
        _machine.ApplyAt(Start, request);
        Assert.True(_machine.ApplyAt(Start + D, request)[0].Duplicate);
        CommandResult fresh = _machine.ApplyAt(Start + D + 1, request)[0];
        Assert.Equal((ErrorCode.None, false, 2L), (fresh.Code, fresh.Duplicate, fresh.Number));
    }

    [Fact]
    public void A_rest_key_with_issue_time_is_refused_after_the_window()
    {
        KvRequest request = Increment("n", id: UserKey(7, firstSent: Start));
        _machine.ApplyAt(Start, request);
        Assert.True(_machine.ApplyAt(Start + D, request)[0].Duplicate);
        Assert.Equal(ErrorCode.IdempotencyExpired, _machine.ApplyAt(Start + D + 1, request)[0].Code);
        Assert.Equal("1", _machine.Value("n"));
    }

    [Fact]
    public void The_record_lives_in_the_virtual_node_of_the_first_key()
    {
        // The same id under a key of another virtual node is not found: such a copy cannot come from the same request.
        string other = Enumerable.Range(0, 100).Select(i => $"k{i}").First(k => VirtualNodeOf(Bytes(k)) != VirtualNodeOf(Bytes("n")));
        _machine.Apply(Increment("n", id: Id(1, 1)));
        Assert.False(_machine.Apply(Increment(other, id: Id(1, 1))).Duplicate);
        Assert.Equal(
            [VirtualNodeOf(Bytes("n")), VirtualNodeOf(Bytes(other))],
            _machine.State.CaptureSections().Select(s => s.VirtualNode).OrderBy(v => v != VirtualNodeOf(Bytes("n"))));
    }

    [Fact]
    public void The_cap_counts_live_records_under_user_keys_only_and_refuses_without_executing()
    {
        for (int i = 0; i < KvStateMachine.MaxUserKeyRecords; i += 1000)
        {
            KvRequest[] requests = [.. Enumerable.Range(i, 1000).Select(n => Delete("k", UserKey((ulong)n + 1)))];
            Assert.All(_machine.ApplyAt(Start, requests), r => Assert.Equal(ErrorCode.None, r.Code));
        }

        CommandResult refused = _machine.Apply(Put("k", "x", UserKey(1_000_000)));
        Assert.Equal((ErrorCode.Overloaded, Outcome.NotApplied), (refused.Code, refused.Outcome));
        Assert.Null(_machine.Value("k"));
        Assert.Equal(KvStateMachine.MaxUserKeyRecords, _machine.State.RecordCount);

        // Copies of what is known and clients that acknowledge are served as ever.
        Assert.True(_machine.Apply(Delete("k", UserKey(1))).Duplicate);
        Assert.Equal(ErrorCode.None, _machine.Apply(Put("k", "y", Id(1, 1))).Code);
        Machine restarted = _machine.Restarted();
        Assert.Equal(ErrorCode.Overloaded, restarted.Apply(Put("k", "x", UserKey(1_000_000))).Code);

        CommandResult later = _machine.ApplyAt(_machine.GroupTime + D + 1, Put("k", "x", UserKey(1_000_000)))[0];
        Assert.Equal(ErrorCode.None, later.Code);
        Assert.Equal(1, _machine.State.RecordCount);
    }
}
