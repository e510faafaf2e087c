namespace KvStore.Simulation.Tests;

/// <summary>What becomes of the groups of a node whose disk answers late or not at all.</summary>
public sealed class SickDiskScenarioTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void C2_writes_go_on_elsewhere_within_five_seconds_when_a_disk_stands_still(ulong seed) => SickDisk.Hangs(seed);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void C2_a_disk_that_crawls_moves_no_group_more_than_twice(ulong seed) => SickDisk.Crawls(seed);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void C2_a_disk_that_comes_and_goes_for_ten_minutes_moves_no_group_more_than_twice(ulong seed) => SickDisk.Flaps(seed);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void C2_two_sick_disks_do_not_hand_groups_to_each_other_for_ever(ulong seed) => SickDisk.TwoFlap(seed);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void C2_idle_groups_go_to_a_preferred_node_whose_disk_stands_still_once_at_most(ulong seed) => SickDisk.PreferredWhileIdle(seed);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void C2_with_two_of_three_disks_standing_still_nobody_hands_anything_over(ulong seed) => SickDisk.TwoOfThree(seed);
}
