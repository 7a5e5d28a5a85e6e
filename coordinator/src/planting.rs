//! Planting bugs: a machine asks `planted(bug)` where it would go wrong, and a test sees whether anybody notices.

/// Makes `planted`, and in tests `plant`, for an enum of bugs. Outside tests `planted` is the constant `false`.
macro_rules! planting {
    ($bug:ty) => {
        #[cfg(not(test))]
        #[inline(always)]
        pub(super) const fn planted(_: $bug) -> bool {
            false
        }

        #[cfg(test)]
        thread_local! {
            static PLANTED: std::cell::Cell<Option<$bug>> = const { std::cell::Cell::new(None) };
        }

        #[cfg(test)]
        pub(super) fn planted(bug: $bug) -> bool {
            PLANTED.with(|planted| planted.get() == Some(bug))
        }

        /// Plants `bug` on this thread until the guard goes.
        #[cfg(test)]
        pub(super) fn plant(bug: Option<$bug>) -> Planting {
            PLANTED.with(|planted| planted.set(bug));
            Planting
        }

        #[cfg(test)]
        pub(super) struct Planting;

        #[cfg(test)]
        impl Drop for Planting {
            fn drop(&mut self) {
                PLANTED.with(|planted| planted.set(None));
            }
        }
    };
}

pub(crate) use planting;
