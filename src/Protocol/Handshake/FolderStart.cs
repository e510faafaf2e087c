namespace KvStore.Protocol;

/// <summary>
/// One start of a data directory, as its peers may have met it. A folder remembers the starts it has made; a copy of it that was put back
/// does not know those that came after the copy, and whatever it starts later are others.
/// </summary>
/// <param name="Incarnation">Which start of the folder.</param>
/// <param name="Process">Random per process; 0: a build that kept no record of its starts, so any process of that number may have been it.</param>
public readonly record struct FolderStart(ulong Incarnation, ulong Process);
