using System.Net;
using KvStore.Node.Config;
using KvStore.Node.Doors;

namespace KvStore.Node.Tests.Doors;

/// <summary>Who is let in, and who has to go for it.</summary>
public sealed class PlacesTests
{
    private static readonly IPEndPoint A = new(IPAddress.Parse("10.0.0.1"), 1);
    private static readonly IPEndPoint B = new(IPAddress.Parse("10.0.0.2"), 1);

    private readonly ManualTime _time = new();

    [Fact]
    public void D2_the_oldest_that_has_said_nothing_makes_room()
    {
        using Places places = new(limit: 3, perAddress: 3, time: _time);
        Place[] first = [.. Enumerable.Range(0, 3).Select(_ => places.TryEnter(A)!)];
        first[0].Greeted();
        Assert.False(places.TryEnter(B)!.IsBeyond);
        Assert.Equal([false, true, false], first.Select(place => place.Ended.IsCancellationRequested));
    }

    [Fact]
    public void D2_whoever_has_most_gives_of_his_own_and_keeps_nobody_else_out()
    {
        using Places places = new(limit: 4, perAddress: 4, time: _time);
        Place own = places.TryEnter(B)!;
        Place[] most = [.. Enumerable.Range(0, 3).Select(_ => places.TryEnter(A)!)];
        own.Greeted();
        Array.ForEach(most, place => place.Greeted());
        _time.Pass(900);
        most[0].Heard();
        _time.Pass(200);
        Assert.NotNull(places.TryEnter(B));
        Assert.Equal([false, true, false], most.Select(place => place.Ended.IsCancellationRequested));
        Assert.False(own.Ended.IsCancellationRequested);
    }

    [Fact]
    public void D2_one_address_has_its_part_and_takes_no_more_from_others()
    {
        using Places places = new(limit: 4, perAddress: 2, beyond: 1, time: _time);
        Place[] taken = [places.TryEnter(A)!, places.TryEnter(A)!];
        Array.ForEach(taken, place => place.Begin());
        Place third = places.TryEnter(A)!;
        Assert.True(third.IsBeyond);
        Assert.False(places.TryEnter(B)!.IsBeyond);
        Assert.Equal((1, 0), (places.Counters.Refused, places.Counters.MadeRoom));
    }

    [Fact]
    public void D2_when_everybody_is_at_work_a_newcomer_is_told_and_the_next_one_takes_its_place()
    {
        using Places places = new(limit: 2, perAddress: 2, beyond: 1, time: _time);
        places.TryEnter(A)!.Begin();
        places.TryEnter(A)!.Begin();
        Place told = places.TryEnter(B)!;
        Place next = places.TryEnter(B)!;
        Assert.True(told.IsBeyond && next.IsBeyond);
        Assert.True(told.Ended.IsCancellationRequested);
        next.Begin();
        Assert.Null(places.TryEnter(B));
        Assert.Equal((2, 2), (places.Counters.Refused, places.Counters.Dropped));
    }

    [Fact]
    public void D2_a_node_that_has_proved_to_be_one_needs_no_place_of_a_client()
    {
        using Places places = new(limit: 1, perAddress: 1, beyond: 1, reservedPerNode: 1, time: _time);
        Place node = places.TryEnter(A)!;
        Assert.True(node.TryReserve("n2"));
        Place client = places.TryEnter(A)!;
        client.Begin();
        Place third = places.TryEnter(B)!;
        Assert.True(third.IsBeyond);
        Assert.True(third.TryReserve("n3"));
        Assert.False(third.IsBeyond);
        Assert.False(places.TryEnter(B)!.TryReserve("n2"));
        node.Dispose();
        Assert.True(places.TryEnter(B)!.TryReserve("n2"));
        Assert.False(client.Ended.IsCancellationRequested);
    }

    [Fact]
    public void What_is_asked_for_nothing_too_long_ends_and_a_sign_of_life_is_enough()
    {
        using Places places = new(limit: 4, perAddress: 4, idleMs: 10_000, time: _time);
        Place silent = places.TryEnter(A)!;
        Place alive = places.TryEnter(A)!;
        Place working = places.TryEnter(A)!;
        working.Begin();
        _time.Pass(6000);
        alive.Heard();
        _time.Pass(5000);
        Assert.Equal(
            [true, false, false], new[] { silent, alive, working }.Select(place => place.Ended.IsCancellationRequested));
        Assert.Equal(1, places.Counters.IdleTooLong);
    }

    [Fact]
    public void Nobody_is_accepted_while_too_many_are_on_their_way_out()
    {
        using Places places = new(limit: 8, perAddress: 8, time: _time);
        List<Place> all = [];
        while (!places.IsFull)
        {
            all.Add(places.TryEnter(A)!);
        }

        Assert.Equal(24, all.Count);
        Place gone = all.Find(place => place.Ended.IsCancellationRequested)!;
        gone.Dispose();
        Assert.False(places.IsFull);
        all.Remove(gone);
        all.ForEach(place => place.Dispose());
        Assert.Equal(0, places.Counters.Open);
    }

    [Theory]
    [InlineData("10.0.0.1", "10.0.0.1", true)]
    [InlineData("10.0.0.1", "::ffff:10.0.0.1", true)]
    [InlineData("10.0.0.1", "10.0.0.2", false)]
    [InlineData("2001:db8::1", "2001:db8::ffff", true)]
    [InlineData("2001:db8::1", "2001:db8:0:1::1", false)]
    [InlineData("0.0.0.1", "::1", false)]
    public void An_address_is_one_of_version_4_or_a_network_of_version_6(string one, string other, bool same) => Assert.Equal(
        same, AddressKey.Of(new IPEndPoint(IPAddress.Parse(one), 1)) == AddressKey.Of(new IPEndPoint(IPAddress.Parse(other), 2)));

    [Theory]
    [InlineData(1024, 1, 3)]
    [InlineData(1024, 3, 3)]
    [InlineData(20_000, 3, 3)]
    [InlineData(1_048_576, 1, 5)]
    public void B4_places_and_what_a_node_needs_itself_fit_into_the_descriptors(int descriptors, int nodesHere, int nodes)
    {
        DoorSettings? doors = DoorSettings.Within(descriptors, nodesHere, nodes, connections: 0, perAddress: 0);
        if (doors is null)
        {
            Assert.Equal((1024, 3), (descriptors, nodesHere));
            return;
        }

        int taken = nodesHere * ((2 * (doors.Connections + (2 * doors.PlacesForRefusals))) + DoorSettings.StrangersAtPeerPort);
        Assert.InRange(taken, 0, descriptors - 256 - (64 * nodesHere));
        Assert.InRange(doors.Connections, 16, 8192);
    }

    private sealed class ManualTime : TimeProvider
    {
        private readonly List<(TimerCallback Callback, object? State)> _timers = [];
        private long _nowMs;

        public override long TimestampFrequency => 1000;

        public override long GetTimestamp() => _nowMs;

        public void Pass(long ms)
        {
            _nowMs += ms;
            _timers.ForEach(timer => timer.Callback(timer.State));
        }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            _timers.Add((callback, state));
            return new Timer();
        }

        private sealed class Timer : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => true;

            public void Dispose()
            {
            }

            public ValueTask DisposeAsync() => default;
        }
    }
}
