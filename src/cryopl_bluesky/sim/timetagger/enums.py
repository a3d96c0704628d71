"""Enumerations of the Time Tagger's module, with the vendor's names and numbers."""

from enum import IntEnum, IntFlag

CHANNEL_UNUSED = -134217728
LOGGER_INFO, LOGGER_WARNING, LOGGER_ERROR = 10, 30, 40


class TagType(IntEnum):
    """Kind of a record of the stream."""

    TimeTag = 0
    Error = 1
    OverflowBegin = 2
    OverflowEnd = 3
    MissedEvents = 4


class Resolution(IntEnum):
    """Timing mode of the hardware."""

    Standard = 0
    HighResA = 1
    HighResB = 2
    HighResC = 3


class ChannelEdge(IntFlag):
    """Which channels `getChannelList` returns."""

    All = 0
    Rising = 1
    Falling = 2
    HighResAll = 4
    HighResRising = 5
    HighResFalling = 6
    StandardAll = 8
    StandardRising = 9
    StandardFalling = 10


class UsageStatisticsStatus(IntEnum):
    """What the vendor's software reports home."""

    Disabled = 0
    Collecting = 1
    CollectingAndUploading = 2
