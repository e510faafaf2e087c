namespace KvStore.Protocol;

/// <summary>
/// The virtual node that every group has beside those of the ring, for what is no user's key: no slot leads to it, so no user's key
/// can ever collide with what is kept there. Its number follows from the group's and is on no list; a group at the first feature
/// level holds nothing in it.
/// </summary>
public static class SystemVirtualNode
{
    public static int Of(GroupId group) => Limits.SlotCount + (int)group.Value;

    public static bool Is(int virtualNode) => virtualNode >= Limits.SlotCount;
}
