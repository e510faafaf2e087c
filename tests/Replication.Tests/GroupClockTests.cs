namespace KvStore.Replication.Tests;

public sealed class GroupClockTests
{
    private const ulong Wall = 1_800_000_000_000;

    [Fact]
    public void A_term_starts_at_the_later_of_the_last_group_time_and_the_median_wall_clock()
    {
        Assert.Equal(Wall, new GroupClock().Now(term: 1, nowMs: 0, Wall, lastGroupMs: Wall - 5));
        Assert.Equal(Wall + 5, new GroupClock().Now(term: 1, nowMs: 0, Wall, lastGroupMs: Wall + 5));
    }

    [Fact]
    public void Within_a_term_time_runs_on_the_elapsed_clock()
    {
        var clock = new GroupClock();
        clock.Now(1, 1000, Wall, 0);
        Assert.Equal(Wall + 50, clock.Now(1, 1050, Wall + 50, 0));
    }

    [Fact]
    public void A_wall_clock_that_jumps_a_year_moves_group_time_by_a_tenth_of_what_elapsed()
    {
        const ulong year = 365UL * 24 * 3600 * 1000;
        var clock = new GroupClock();
        clock.Now(1, 0, Wall, 0);
        ulong later = 0;
        for (long now = 100; now <= 10_000; now += 100)
        {
            later = clock.Now(1, now, Wall + year, 0);
        }

        Assert.InRange(later, Wall + 10_000, Wall + 11_000);
    }

    [Fact]
    public void A_wall_clock_that_jumps_back_never_takes_group_time_back()
    {
        var clock = new GroupClock();
        ulong last = clock.Now(1, 0, Wall, 0);
        for (long now = 10; now <= 5_000; now += 10)
        {
            ulong time = clock.Now(1, now, Wall - 3_600_000, 0);
            Assert.True(time >= last, $"{time} after {last}");
            last = time;
        }
    }

    [Fact]
    public void The_median_of_the_voters_clocks_outvotes_one_bad_clock()
    {
        var walls = new WallClocks(3, self: 1);
        walls.Observe(2, Wall + 3_600_000, elapsedMs: 100);
        walls.Observe(3, Wall + 20, elapsedMs: 100);
        Assert.Equal((long)Wall + 20, walls.MedianMs([1, 2, 3], self: 1, (long)Wall, elapsedMs: 100));
    }

    [Fact]
    public void A_wall_clock_that_jumps_takes_no_silent_voter_with_it()
    {
        const long year = 365L * 24 * 3_600_000;
        var walls = new WallClocks(3, self: 1);
        walls.Observe(2, Wall, elapsedMs: 100);
        walls.Observe(3, Wall, elapsedMs: 100);
        walls.Observe(2, Wall + 900, elapsedMs: 1_000);
        Assert.Equal((long)Wall + 900, walls.MedianMs([1, 2, 3], self: 1, (long)Wall + 900 + year, elapsedMs: 1_000));
    }

    [Fact]
    public void Of_two_clocks_the_earlier_one_counts()
    {
        var walls = new WallClocks(3, self: 1);
        walls.Observe(2, Wall, elapsedMs: 0);
        Assert.Equal((long)Wall, walls.MedianMs([1, 2, 3], self: 1, (long)Wall + 3_600_000, elapsedMs: 0));
    }

    [Fact]
    public void A_single_voter_trusts_its_own_clock() =>
        Assert.Equal(7, new WallClocks(1, self: 1).MedianMs([1], self: 1, ownWallMs: 7, elapsedMs: 0));
}
